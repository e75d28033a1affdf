//! The status page: one file, which asks the API from the browser and shows what it says.
//!
//! Server-sent events looked better than asking each second. What is shown is read from counters, so a look costs the same either way, and
//! a page that asks needs no list of who listens, and goes on by itself after a restart.

use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const PAGE: &str = include_str!("page.html");

/// What browsers may run and load for the page: the very script and style that stand in it, and answers of this listener. So a
/// name that found its way into the page as markup would run nothing.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |tag: &str| {
        let rest = PAGE.split_once(&format!("<{tag}>")).map_or("", |(_, rest)| rest);
        let inside = rest.split_once(&format!("</{tag}>")).map_or("", |(inside, _)| inside);
        STANDARD.encode(Sha256::digest(inside))
    };
    let (script, style) = (hash("script"), hash("style"));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

pub(super) async fn show() -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    ([(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, POLICY.clone())], PAGE).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_nothing_and_has_no_markup_that_its_policy_forbids() {
        let namespace = "'http://www.w3.org/2000/svg'";
        assert!(
            !PAGE
                .replace(namespace, "")
                .replace("${backend.transport}://", "")
                .replace("${b.transport}://", "")
                .contains("://")
        );
        for forbidden in ["style=", "onclick", "innerHTML", "src=", "@import", "url("] {
            assert!(!PAGE.contains(forbidden), "{forbidden}");
        }
        assert_eq!([PAGE.matches("<script>").count(), PAGE.matches("<style>").count()], [1, 1]);
        let policy = POLICY.to_str().unwrap();
        assert!(policy.contains("script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    }
}
