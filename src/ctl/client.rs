//! One request to a running Viaduct's admin listener.
//!
//! A client library with TLS, redirects and pools looked handier. This speaks to one program that speaks HTTP/1.1 without TLS,
//! and hyper's own client is in the build already for the server's sake; a machine far away is reached through `ssh -L`.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::error::ConfigError;

use super::CtlError;

/// Where to ask, and what to show.
#[derive(Debug)]
pub(super) struct Client {
    host: String,
    port: u16,
    token: Option<HeaderValue>,
}

/// What is asked.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) accept: &'static str,
    /// The type of the body, and the body.
    pub(super) body: Option<(&'static str, Vec<u8>)>,
}

/// The longest answer that is read: a pool of as many backends as there may be is a few MiB.
const ANSWER_MAX_BYTES: usize = 64 << 20;

/// How long it may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take; the listener gives up earlier.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

impl Client {
    /// One that asks at `http://host:port`.
    pub(super) fn new(url: &str, token: Option<Vec<u8>>) -> Result<Self, ConfigError> {
        let wrong = |wrong: &str| ConfigError::new("VIADUCT_ADMIN_URL (--admin)", url, wrong, "http://127.0.0.1:9060");
        let uri: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong("the admin listener speaks http alone; ssh -L carries that safely"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("it has a path"));
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it names no host"))?;
        let bearer = |token: Vec<u8>| HeaderValue::from_bytes(&[b"Bearer ", token.as_slice()].concat());
        let unshowable =
            |_| ConfigError::new("VIADUCT_ADMIN_TOKEN", "(not shown)", "no header can have it", "visible text");
        let token = token.map(bearer).transpose().map_err(unshowable)?;
        Ok(Client { host: host.to_owned(), port: uri.port_u16().unwrap_or(80), token })
    }

    /// Asks, and gives what came back if that is a success.
    pub(super) async fn ask(&self, question: Question) -> Result<String, CtlError> {
        let (status, text) = timeout(ANSWER_TIMEOUT, self.exchange(question))
            .await
            .map_err(|_| self.unreachable(&"it does not answer"))?
            .map_err(|error| self.unreachable(&error))?;
        if status.is_success() { Ok(text) } else { Err(CtlError::Refused { status: status.as_u16(), text }) }
    }

    async fn exchange(&self, question: Question) -> Result<(StatusCode, String), Box<dyn std::error::Error>> {
        let address = (self.host.trim_matches(['[', ']']), self.port);
        let stream =
            timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await.map_err(|_| "it cannot be connected to")??;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the answer; what goes wrong there, the answer tells.
        tokio::spawn(connection);
        let response = sender.send_request(self.request(question)?).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await;
        let bytes = body.map_err(|error| error.to_string())?.to_bytes();
        Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn request(&self, question: Question) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let Question { method, path, accept, body } = question;
        let (kind, bytes) = body.map_or((None, Vec::new()), |(kind, bytes)| (Some(kind), bytes));
        let request = Request::builder().method(method).uri(path).header(ACCEPT, accept);
        let request = request.header(HOST, format!("{}:{}", self.host, self.port)).header("viaduct-admin", "ctl");
        let request = match &self.token {
            Some(token) => request.header(AUTHORIZATION, token),
            None => request,
        };
        let request = if let Some(kind) = kind { request.header(CONTENT_TYPE, kind) } else { request };
        request.body(Full::new(bytes.into()))
    }

    fn unreachable(&self, why: &dyn std::fmt::Display) -> CtlError {
        CtlError::Unreachable(format!("no Viaduct answers at http://{}:{}: {why}", self.host, self.port))
    }
}
