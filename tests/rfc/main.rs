//! Conformance by RFC and section: each item of the list is one stimulus and the answer that a client must see. A
//! test's comment names the items that it shows and the section that asks for them; `form.rs` keeps these comments
//! regular. What holds for every answer (CRC, integrity of the right kind, zero padding, sizes) the judge in `sans_io`
//! looks after.
#[path = "../sans_io/mod.rs"]
mod sans_io;

mod error_codes;
mod extensions;
mod form;
mod rfc5769;
mod rfc8489_alternate;
mod rfc8489_attributes;
mod rfc8489_binding;
mod rfc8489_header;
mod rfc8489_integrity;
mod rfc8489_long_term;
mod rfc8489_nonce;
mod rfc8656_allocate;
mod rfc8656_channels;
mod rfc8656_dual;
mod rfc8656_general;
mod rfc8656_icmp;
mod rfc8656_permissions;
mod rfc8656_refresh;
mod rfc8656_relaying;
mod rfc8656_reservation;
mod rfc8656_security;
mod timing;
