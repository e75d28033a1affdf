//! Route values one by one, wherever commas and header lines divide them (§20.34, §7.3.1).

use arrayvec::ArrayVec;

use super::Span;
use super::cursor::Cursor;
use super::draft::{Draft, DraftFull};
use super::header::HeaderName;
use super::scan::{Field, Head};
use super::uri::Uri;

/// One Route value.
#[derive(Clone, Copy, Debug)]
pub struct RouteValue {
    /// The URI between the angle brackets.
    pub uri: Uri,
    /// Where the next value begins in the same header, if a comma follows.
    next: Option<u32>,
    /// The header it stands in.
    field: Field,
    /// All of it: display name, URI and header parameters.
    pub value: Span,
}

/// A Route header that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedRoute;

/// The topmost Route value; `Ok(None)` where there is none.
pub fn topmost(message: &[u8], head: &Head) -> Result<Option<RouteValue>, MalformedRoute> {
    head.first(HeaderName::Route).map(|field| parse(message, *field, field.value.start)).transpose()
}

/// Takes every Route value above `kept` out of the message; all of them where `kept` is `None`.
pub fn remove_above(kept: Option<&RouteValue>, head: &Head, draft: &mut Draft) -> Result<(), DraftFull> {
    let mut lines: Option<Span> = None;
    for field in head.all(HeaderName::Route) {
        if let Some(kept) = kept.filter(|kept| kept.field.line == field.line) {
            draft.delete(Span { start: field.value.start, end: kept.value.start })?;
            break;
        }
        // Lines that follow each other come out in one piece.
        match &mut lines {
            Some(lines) if lines.end == field.line.start => lines.end = field.line.end,
            _ => lines.replace(field.line).map_or(Ok(()), |lines| draft.delete(lines))?,
        }
    }
    lines.map_or(Ok(()), |lines| draft.delete(lines))
}

/// The most Route values that are written anew for a strict router. A route set has a value a proxy on the way.
pub const MAX_REWRITTEN: usize = 32;

/// All Route values from `first` on; `None` where they are more than [`MAX_REWRITTEN`].
pub fn all_from(first: RouteValue, message: &[u8], head: &Head) -> Result<Option<Values>, MalformedRoute> {
    let mut values = Values::new();
    let mut next = Some(first);
    while let Some(value) = next {
        if values.try_push(value).is_err() {
            return Ok(None);
        }
        next = value.below(message, head)?;
    }
    Ok(Some(values))
}

/// Route values in order.
pub type Values = ArrayVec<RouteValue, MAX_REWRITTEN>;

/// Writes the Route values of a message anew: these, each in a header of its own, in the place `place`; and takes all that
/// came out. Only for strict routers, where values change their order.
pub fn rewrite(values: &[&[u8]], place: Span, head: &Head, draft: &mut Draft) -> Result<(), DraftFull> {
    for value in values {
        draft.insert(place, [b"Route: ", value, b"\r\n"])?;
    }
    remove_above(None, head, draft)
}

impl RouteValue {
    /// Whether it stands in the same place of the message as another.
    pub fn is(&self, other: &RouteValue) -> bool {
        self.value == other.value
    }

    /// The value below this one, in the same header or the next.
    pub fn below(&self, message: &[u8], head: &Head) -> Result<Option<RouteValue>, MalformedRoute> {
        if let Some(start) = self.next {
            return parse(message, self.field, start).map(Some);
        }
        head.below(&self.field).map(|field| parse(message, *field, field.value.start)).transpose()
    }
}

fn parse(message: &[u8], field: Field, start: u32) -> Result<RouteValue, MalformedRoute> {
    let mut cursor = Cursor::new(message, Span { start, end: field.value.end });
    cursor.skip_lws();
    let start = cursor.at();
    if cursor.peek() == Some(b'"') {
        cursor.quoted().ok_or(MalformedRoute)?;
    }
    cursor.take_while(|byte| !matches!(byte, b'<' | b','));
    if !cursor.take(b'<') {
        return Err(MalformedRoute);
    }
    let span = cursor.take_while(|byte| byte != b'>');
    if !cursor.take(b'>') {
        return Err(MalformedRoute);
    }
    let uri = Uri::parse(message, span).ok_or(MalformedRoute)?;
    skip_parameters(&mut cursor)?;
    let value = Span::new(start, cursor.at());
    let next = cursor.take_separator(b',').then(|| cursor.at() as u32);
    if next.is_none() && !cursor.is_at_end() {
        return Err(MalformedRoute);
    }
    Ok(RouteValue { uri, next, field, value })
}

fn skip_parameters(cursor: &mut Cursor<'_>) -> Result<(), MalformedRoute> {
    while cursor.take_separator(b';') {
        cursor.token().ok_or(MalformedRoute)?;
        if cursor.take_separator(b'=') {
            cursor.parameter_value().ok_or(MalformedRoute)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(message: &str) -> Head {
        let mut head = Head::default();
        head.scan(message.as_bytes()).unwrap();
        head
    }

    fn message(routes: &str) -> String {
        format!("BYE sip:b SIP/2.0\r\n{routes}X: y\r\n\r\n")
    }

    fn hosts(routes: &str) -> Result<Vec<String>, MalformedRoute> {
        let message = message(routes);
        let head = scanned(&message);
        let mut hosts = Vec::new();
        let mut next = topmost(message.as_bytes(), &head)?;
        while let Some(value) = next {
            hosts.push(String::from_utf8_lossy(value.uri.host.of(message.as_bytes())).into_owned());
            next = value.below(message.as_bytes(), &head)?;
        }
        Ok(hosts)
    }

    fn without_the_first(count: usize, routes: &str) -> String {
        let message = message(routes);
        let head = scanned(&message);
        let mut kept = topmost(message.as_bytes(), &head).unwrap();
        for _ in 0..count {
            kept = kept.unwrap().below(message.as_bytes(), &head).unwrap();
        }
        let mut draft = Draft::new();
        draft.keep(Span::new(0, message.len())).unwrap();
        remove_above(kept.as_ref(), &head, &mut draft).unwrap();
        let mut out = [0; 512];
        let len = draft.render(message.as_bytes(), &mut out).unwrap();
        let text = std::str::from_utf8(&out[..len]).unwrap();
        text.strip_prefix("BYE sip:b SIP/2.0\r\n").unwrap().strip_suffix("X: y\r\n\r\n").unwrap().to_owned()
    }

    const MIXED: &str = "Route: \"a,b\" <sip:one;lr>;x=\"1,2\" ,\r\n <sip:two;lr>\r\nRoute: <sip:three>\r\n";

    #[test]
    fn values_are_found_over_commas_lines_and_folds() {
        assert_eq!(hosts(MIXED), Ok(vec!["one".into(), "two".into(), "three".into()]));
        assert_eq!(hosts(""), Ok(vec![]));
    }

    #[test]
    fn values_are_taken_out_from_the_top() {
        assert_eq!(without_the_first(0, MIXED), MIXED);
        assert_eq!(without_the_first(1, MIXED), "Route: <sip:two;lr>\r\nRoute: <sip:three>\r\n");
        assert_eq!(without_the_first(2, MIXED), "Route: <sip:three>\r\n");
        assert_eq!(without_the_first(3, MIXED), "");
    }

    #[test]
    fn a_route_without_brackets_or_with_leftovers_is_malformed() {
        for value in ["sip:one;lr", "<sip:one", "<one>", "", "<sip:one> two", "<sip:one>,"] {
            assert_eq!(hosts(&format!("Route: {value}\r\n")), Err(MalformedRoute), "{value}");
        }
    }
}
