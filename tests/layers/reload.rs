//! Certificates change under open connections; a bad one changes nothing.

use crate::certificates::Authority;
use crate::client::{Client, Way};
use crate::peer::Backend;
use crate::running::{NAME, Running, on_each_engine};

#[test]
fn a_certificate_that_is_replaced_is_shown_to_later_connections_and_open_ones_go_on() {
    on_each_engine(|engine| {
        let backend = Backend::new();
        let viaduct = Running::start(engine, &backend.setting(), "", &[("RELOAD_S", "1")]);
        let first = viaduct.metric("viaduct_certificate_end_seconds", &["own.pem"]);
        assert!(first > 1.7e9, "{first}");
        let mut open = Client::open(&viaduct, Way::Tls);
        let other = Authority::new();
        viaduct.folder.write("own.pem", &other.issue(&[NAME]).pem());
        viaduct.logs("certificates were read again");
        assert!(Client::open_with(&viaduct, Way::Tls, b"", viaduct.authority.client(None)).is_err());
        let mut later = Client::open_with(&viaduct, Way::Wss, b"", other.client(None)).unwrap();
        for client in [&mut open, &mut later] {
            client.send(&client.request("OPTIONS", "one", ""));
            backend.answer();
            assert!(client.message().starts_with("SIP/2.0 200 OK"));
        }
        assert_eq!(viaduct.metric("viaduct_certificate_reloads_total", &["reloaded"]), 1.0);
    });
}

#[test]
fn a_bad_certificate_changes_nothing_and_says_so() {
    let backend = Backend::new();
    let viaduct = Running::start("auto", &backend.setting(), "", &[("RELOAD_S", "0")]);
    let expired = viaduct.authority.issue_expired(&[NAME]).pem();
    for (number, text) in ["", "-----BEGIN", &expired].into_iter().enumerate() {
        viaduct.folder.write("own.pem", text);
        viaduct.hang_up();
        let line = viaduct.logs("certificates stay as they were");
        assert!(line.contains("own.pem"), "{line}");
        Client::open(&viaduct, Way::Wss);
        assert_eq!(viaduct.metric("viaduct_certificate_reloads_total", &["refused"]), number as f64 + 1.0);
    }
}
