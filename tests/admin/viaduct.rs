//! The program, and a client of its admin listener.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

pub const TOKEN: &str = "a token for tests only";

pub struct Viaduct {
    child: Child,
    pub admin: SocketAddr,
    token: Option<&'static str>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// What is wrong, of a problem.
    pub fn detail(&self) -> String {
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        assert_eq!(self.json()["status"], self.status);
        self.json()["detail"].as_str().unwrap().to_owned()
    }
}

impl Viaduct {
    /// Starts one before three backends that nobody asks whether they live; a token is set, or none.
    pub fn start(token: Option<&'static str>) -> Self {
        let sip = UdpSocket::bind("127.15.0.1:0").unwrap().local_addr().unwrap();
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_viaduct"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VIADUCT_")) {
            command.env_remove(name);
        }
        command.env("VIADUCT_LISTEN", format!("udp://{sip}")).env("VIADUCT_ADMIN_LISTEN", admin.to_string());
        command.env("VIADUCT_BACKENDS", "a=udp://127.15.0.2:5060,b=udp://127.15.0.3:5060,c=udp://127.15.0.4:5060");
        command.env("VIADUCT_SECRET", "a secret for tests only").env("VIADUCT_PROBE", "off").env("VIADUCT_SHARDS", "1");
        if let Some(token) = token {
            command.env("VIADUCT_ADMIN_TOKEN", token);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("metrics at /metrics")), "it does not start");
        thread::spawn(move || lines.for_each(drop));
        Viaduct { child, admin, token }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    /// Asks as an administrator does, with JSON.
    pub fn change(&self, method: &str, path: &str, body: &str) -> Answer {
        let shown = match self.token {
            Some(token) => format!("Authorization: Bearer {token}"),
            None => "Viaduct-Admin: 1".to_owned(),
        };
        self.ask(method, path, &[&shown, "Content-Type: application/json"], body)
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let host = format!("Host: {}", self.admin);
        let own = if headers.iter().any(|header| header.starts_with("Host:")) { "Viaduct: 1" } else { &host };
        let headers = headers.join("\r\n") + if headers.is_empty() { "" } else { "\r\n" };
        let length = body.len();
        self.raw(&format!(
            "{method} {path} HTTP/1.1\r\n{own}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ))
    }

    pub fn raw(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        // What is refused at once is not read.
        let _ = stream.write_all(request.as_bytes());
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {request}: {text}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    /// Names and shares, rounded to tenths.
    pub fn shares(&self) -> Vec<(String, f64)> {
        let pool = self.get("/api/pool").json();
        let share = |backend: &Value| (backend["share"].as_f64().unwrap() * 10.0).round() / 10.0;
        let backends = pool["backends"].as_array().unwrap().iter();
        backends.map(|backend| (backend["name"].as_str().unwrap().to_owned(), share(backend))).collect()
    }

    /// What `viaduct ctl` says.
    pub fn ctl(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_viaduct"));
        command.arg("ctl").args(arguments).env("VIADUCT_ADMIN_URL", format!("http://{}", self.admin));
        if let Some(token) = self.token {
            command.env("VIADUCT_ADMIN_TOKEN", token);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }
}

impl Drop for Viaduct {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
