//! What both sides of a call were told of its way.

use std::collections::BTreeMap;

/// The URIs of each Call-ID's Record-Route from what callers and called logged, the called's nearest proxy first. Asserts
/// that either side knows the same way, and of so many calls.
pub fn told_to_both(callers: &[String], called: &[String], calls: u32) -> BTreeMap<String, Vec<String>> {
    let routes = of_each_call(called);
    assert_eq!(of_each_call(callers), routes, "what either side was told of the way");
    assert_eq!(routes.len(), calls as usize);
    routes
}

/// Lines of a Call-ID and a Record-Route header.
fn of_each_call(logged: &[String]) -> BTreeMap<String, Vec<String>> {
    let call_and_route = |line: &String| {
        let (call_id, header) = line.split_once(" Record-Route: ")?;
        let uris = header.split('<').skip(1).filter_map(|value| value.split_once('>'));
        Some((call_id.to_owned(), uris.map(|(uri, _)| uri.to_owned()).collect()))
    };
    logged.iter().filter_map(call_and_route).collect()
}
