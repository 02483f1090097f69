// The server of pion/turn as a program, set up as its own "simple" example does, but for what is said here: 4 MiB asked
// for the listener's buffer, as everybody gets who can be asked; nothing written. GOMAXPROCS comes from the environment.
//
//	pion LISTEN RELAY_IP REALM USER PASSWORD
//
// Debian's golang-github-pion-turn.v2-dev is what it is built with: GO111MODULE=off GOPATH=/usr/share/gocode go build
package main

import (
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/pion/logging"
	"github.com/pion/turn/v2"
)

const receiveBufferBytes = 4 << 20

func main() {
	if len(os.Args) != 6 {
		log.Fatal("usage: pion LISTEN RELAY_IP REALM USER PASSWORD")
	}
	listen, relayIP, realm, user, password := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]

	listener, err := net.ListenPacket("udp4", listen)
	if err != nil {
		log.Fatal(err)
	}
	if err := listener.(*net.UDPConn).SetReadBuffer(receiveBufferBytes); err != nil {
		log.Fatal(err)
	}
	key := turn.GenerateAuthKey(user, realm, password)
	silent := &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: realm,
		AuthHandler: func(username, _ string, _ net.Addr) ([]byte, bool) {
			return key, username == user
		},
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn: listener,
			RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{
				RelayAddress: net.ParseIP(relayIP),
				Address:      relayIP,
			},
		}},
		LoggerFactory: silent,
	})
	if err != nil {
		log.Fatal(err)
	}

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
	if err := server.Close(); err != nil {
		log.Fatal(err)
	}
}
