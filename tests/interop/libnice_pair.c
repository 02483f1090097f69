/* Two ICE agents of libnice that may use nothing but the relay find each other through it and exchange data both ways.
 *
 * usage: libnice_pair HOST PORT USERNAME PASSWORD MESSAGES TRANSPORT
 *
 * Prints one line of JSON: each agent's candidate types and selected addresses, and how many messages arrived unchanged.
 */

#include <nice/agent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEADLINE_SECONDS = 20, COMPONENT = 1, LONGEST = 1200 };

struct agent {
    NiceAgent *nice;
    struct agent *other;
    guint stream;
    gboolean gathered, ready;
    /* Of what the other sends. */
    unsigned next, intact;
};

static struct agent alice, bob;
static GMainLoop *loop;
static unsigned messages;

/* Every padding. */
static gsize message(unsigned number, char *buffer) {
    gsize length = 1 + number % LONGEST;
    memset(buffer, (int)(number % 256), length);
    return length;
}

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void send_to(struct agent *receiver) {
    char buffer[LONGEST];
    gsize length = message(receiver->next, buffer);
    struct agent *sender = receiver->other;
    if (nice_agent_send(sender->nice, sender->stream, COMPONENT, (guint)length, buffer) != (gint)length) {
        fail("nothing can be sent");
    }
}

static void on_data(NiceAgent *nice, guint stream, guint component, guint length, gchar *data, gpointer self) {
    struct agent *receiver = self;
    char expected[LONGEST];
    gsize expected_length = message(receiver->next, expected);
    (void)nice, (void)stream, (void)component;
    receiver->intact += length == expected_length && memcmp(data, expected, length) == 0;
    receiver->next += 1;
    if (receiver->next < messages) {
        send_to(receiver);
    } else if (receiver == &bob) {
        send_to(&alice);
    } else {
        g_main_loop_quit(loop);
    }
}

static void describe(struct agent *from, struct agent *to) {
    gchar *username = NULL, *password = NULL;
    GSList *candidates = nice_agent_get_local_candidates(from->nice, from->stream, COMPONENT);
    if (!nice_agent_get_local_credentials(from->nice, from->stream, &username, &password) ||
        !nice_agent_set_remote_credentials(to->nice, to->stream, username, password) ||
        nice_agent_set_remote_candidates(to->nice, to->stream, COMPONENT, candidates) < 1) {
        fail("one does not take the other's description");
    }
    g_slist_free_full(candidates, (GDestroyNotify)nice_candidate_free);
    g_free(username);
    g_free(password);
}

static guint count_candidates(struct agent *agent) {
    GSList *candidates = nice_agent_get_local_candidates(agent->nice, agent->stream, COMPONENT);
    guint count = g_slist_length(candidates);
    g_slist_free_full(candidates, (GDestroyNotify)nice_candidate_free);
    return count;
}

static void on_gathered(NiceAgent *nice, guint stream, gpointer self) {
    (void)nice, (void)stream;
    ((struct agent *)self)->gathered = TRUE;
    if (!alice.gathered || !bob.gathered) {
        return;
    }
    if (count_candidates(&alice) == 0 || count_candidates(&bob) == 0) {
        g_main_loop_quit(loop);
        return;
    }
    describe(&alice, &bob);
    describe(&bob, &alice);
}

static void on_state(NiceAgent *nice, guint stream, guint component, guint state, gpointer self) {
    gboolean were_ready = alice.ready && bob.ready;
    (void)nice, (void)stream, (void)component;
    if (state == NICE_COMPONENT_STATE_FAILED) {
        fail("the agents do not reach each other");
    }
    ((struct agent *)self)->ready |= state == NICE_COMPONENT_STATE_READY;
    if (!were_ready && alice.ready && bob.ready) {
        send_to(&bob);
    }
}

static gboolean on_deadline(gpointer unused) {
    (void)unused;
    fail("it takes too long");
    return FALSE;
}

static void start(struct agent *agent, struct agent *other, gboolean controlling, char **arguments) {
    NiceRelayType type = NICE_RELAY_TYPE_TURN_UDP;
    NiceAddress own;
    if (strcmp(arguments[6], "tcp") == 0) {
        type = NICE_RELAY_TYPE_TURN_TCP;
    } else if (strcmp(arguments[6], "tls") == 0) {
        type = NICE_RELAY_TYPE_TURN_TLS;
    }
    agent->nice = nice_agent_new(g_main_loop_get_context(loop), NICE_COMPATIBILITY_RFC5245);
    agent->other = other;
    g_object_set(agent->nice, "controlling-mode", controlling, "force-relay", TRUE, "upnp", FALSE, "ice-tcp", FALSE, NULL);
    nice_address_init(&own);
    nice_address_set_from_string(&own, arguments[1]);
    nice_agent_add_local_address(agent->nice, &own);
    g_signal_connect(agent->nice, "candidate-gathering-done", G_CALLBACK(on_gathered), agent);
    g_signal_connect(agent->nice, "component-state-changed", G_CALLBACK(on_state), agent);
    agent->stream = nice_agent_add_stream(agent->nice, 1);
    nice_agent_attach_recv(agent->nice, agent->stream, COMPONENT, g_main_loop_get_context(loop), on_data, agent);
    if (!nice_agent_set_relay_info(agent->nice, agent->stream, COMPONENT, arguments[1], (guint)atoi(arguments[2]),
                                   arguments[3], arguments[4], type) ||
        !nice_agent_gather_candidates(agent->nice, agent->stream)) {
        fail("nothing can be gathered");
    }
}

static void print_candidates(struct agent *agent) {
    GSList *candidates = nice_agent_get_local_candidates(agent->nice, agent->stream, COMPONENT), *each;
    printf("[");
    for (each = candidates; each != NULL; each = each->next) {
        NiceCandidate *candidate = each->data;
        printf("%s\"%s\"", each == candidates ? "" : ", ", nice_candidate_type_to_string(candidate->type));
    }
    printf("]");
    g_slist_free_full(candidates, (GDestroyNotify)nice_candidate_free);
}

static void print_address(const char *name, NiceCandidate *candidate) {
    char ip[NICE_ADDRESS_STRING_LEN];
    nice_address_to_string(&candidate->addr, ip);
    printf("\"%s\": [\"%s\", \"%s\", %u]", name, nice_candidate_type_to_string(candidate->type), ip,
           nice_address_get_port(&candidate->addr));
}

static void print_selected(struct agent *agent) {
    NiceCandidate *local, *remote;
    if (!nice_agent_get_selected_pair(agent->nice, agent->stream, COMPONENT, &local, &remote)) {
        fail("no pair is selected");
    }
    printf("{");
    print_address("local", local);
    printf(", ");
    print_address("remote", remote);
    printf("}");
}

int main(int count, char **arguments) {
    if (count != 7) {
        fail("usage: libnice_pair HOST PORT USERNAME PASSWORD MESSAGES TRANSPORT");
    }
    messages = (unsigned)atoi(arguments[5]);
    loop = g_main_loop_new(NULL, FALSE);
    g_timeout_add_seconds(DEADLINE_SECONDS, on_deadline, NULL);
    start(&alice, &bob, TRUE, arguments);
    start(&bob, &alice, FALSE, arguments);
    g_main_loop_run(loop);
    printf("{\"candidates\": [");
    print_candidates(&alice);
    printf(", ");
    print_candidates(&bob);
    printf("]");
    if (alice.ready && bob.ready) {
        printf(", \"selected\": [");
        print_selected(&alice);
        printf(", ");
        print_selected(&bob);
        printf("], \"to_bob\": %u, \"to_alice\": %u", bob.intact, alice.intact);
    }
    printf("}\n");
    return 0;
}
