//! What a dead backend had of calls goes to all others alike.

use crate::backend::{Backend, Over};
use crate::viaduct::Viaduct;

/// By chance alone, each of five backends gets up to half a percent more or less of so many than another.
const REQUESTS: usize = 250_000;

/// How many are under way at a time: fewer than wait in any socket.
const WINDOW: usize = 50;

#[test]
fn of_six_backends_with_one_down_the_five_others_get_the_same_within_two_percent() {
    let mut backends = ["a", "b", "c", "d", "e", "f"].map(|name| Backend::start(name, Over::Udp));
    let viaduct = Viaduct::start_with(&backends, &[("VIADUCT_OUTLIER", "off")]);
    backends[3].end();
    viaduct.until_up("d", false);
    let count = |name: &str| viaduct.sum(&format!("viaduct_backend_requests_total{{backend=\"{name}\"}}"));
    let before = count("d");
    for window in 0..REQUESTS / WINDOW {
        viaduct.send_all(window * WINDOW..(window + 1) * WINDOW);
    }
    assert_eq!(count("d"), before, "the dead one got some");
    let counts = ["a", "b", "c", "e", "f"].map(count);
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(counts.iter().sum::<u64>() >= REQUESTS as u64, "{counts:?}");
    assert!(*most as f64 <= *least as f64 * 1.02, "{counts:?}");
    viaduct.is_accounted_for();
}
