//! `viaduct demo`: carries real calls on loopback between agents of its own, and shows what happens.
//!
//! | module | charge |
//! | --- | --- |
//! | [`settings`] | Viaduct's settings here: what would keep it from running at once is replaced |
//! | [`message`] | reading SIP as far as the agents need it |
//! | [`dialog`] | the caller's requests |
//! | [`call`] | one call from the caller's side: a state machine without I/O |
//! | [`caller`] | all calls of the caller, started at an even pace |
//! | [`backend`] | a backend that answers: a state machine without I/O |
//! | [`reply`] | the backend's responses |
//! | [`agent`] | a socket that feeds a state machine |
//! | [`timers`], [`draws`] | what both kinds of agents need |
//! | [`figures`], [`page`] | what the agents count, and what Viaduct's metrics page says |
//! | [`screen`], [`held_log`] | what is shown, and the log, kept out of it |
//!
//! Scripts for an external call generator looked better, because it would be an independent peer. A first look must not
//! need an installation, and the agents read and write SIP by code of their own, not by Viaduct's.

pub mod agent;
pub mod backend;
pub mod call;
pub mod caller;
pub mod dialog;
pub mod draws;
pub mod figures;
pub mod held_log;
pub mod message;
pub mod page;
pub mod reply;
pub mod screen;
pub mod settings;
pub mod timers;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::config::{DemoSettings, Settings};
use crate::control;
use crate::control::admin::log::LogFilter;
use crate::control::admin::{self, Admin};
use crate::control::signal::Terminations;
use crate::io::Choice;
use crate::run::process::Viaduct;
use crate::run::{Desk, RunError, discovery, reload};

use backend::Backend;
use caller::Caller;
use draws::Draws;
use figures::Figures;
use held_log::HeldLog;
use page::Page;
use screen::{Fixed, Screen, View};
use settings::Member;

/// How long calls in progress may take to end once no more are started: four retransmissions of a BYE.
const DRAIN: Duration = Duration::from_secs(8);

/// Runs until the operator ends it or its time is over, and tells whether no call failed.
pub fn demo(demo: &DemoSettings, settings: &Settings, log: &HeldLog, filter: LogFilter) -> Result<bool, RunError> {
    let uring = settings.io != Choice::Poll;
    let outcome = control::block_on(uring, carry(demo, settings, log, filter));
    log.release();
    outcome.map_err(RunError::Control)?
}

async fn carry(demo: &DemoSettings, settings: &Settings, log: &HeldLog, filter: LogFilter) -> Result<bool, RunError> {
    let (members, sockets) = open_backends().await?;
    let settings = settings::for_demo(settings, &members)?;
    let servers = discovery::servers(&settings);
    let begun = discovery::begin(&settings, servers.clone()).await?;
    let mut viaduct = Viaduct::start(&settings, begun.listing, begun.cells)?;
    viaduct.admin.ready.store(true, Ordering::Release);
    let (listener, notice) = bind_admin(settings.admin.admin_listen).await?;
    let metrics = listener.local_addr().map_err(RunError::Control)?;
    let (stop_admin, stopped) = oneshot::channel();
    let (steward, pool) = viaduct.steward();
    let steering = tokio::spawn(steward.run());
    let guard = reload::guard(&settings)?;
    let api = viaduct.api(Desk { pool, servers, guard, log: Arc::new(filter) }, None);
    let served = tokio::spawn(admin::serve(listener, viaduct.admin.clone(), api, stopped));
    log.release();
    if let Some(notice) = notice {
        eprintln!("{notice}");
    }
    let figures = Rc::new(Figures::new(members.len()));
    let fixed = fixed(&viaduct, members, metrics);
    let agents = start_agents(demo, sockets, fixed.viaduct, &figures).await?;
    let show = Show { admin: viaduct.admin.clone(), figures: figures.clone(), fixed, began: Instant::now() };
    let outcome = show.until_the_end(demo.seconds, &mut viaduct).await;
    drop((agents, stop_admin));
    steering.abort();
    viaduct.stop();
    let _ = served.await;
    outcome.map(|()| figures.failed() == 0)
}

/// The backends' sockets. The kernel owns all of 127.0.0.0/8 and chooses the ports, so nothing can clash.
async fn open_backends() -> Result<(Vec<Member>, Vec<UdpSocket>), RunError> {
    let (mut members, mut sockets) = (Vec::new(), Vec::new());
    for (name, ip, weight) in settings::MEMBERS {
        let (socket, address) = open(ip).await?;
        members.push(Member { name, address, weight });
        sockets.push(socket);
    }
    Ok((members, sockets))
}

async fn open(ip: Ipv4Addr) -> Result<(UdpSocket, SocketAddr), RunError> {
    let opened = agent::open(IpAddr::V4(ip)).and_then(|socket| socket.local_addr().map(|address| (socket, address)));
    opened.map_err(|error| {
        let text = format!("the demo's socket on {ip} cannot be opened (is the loopback interface up?): {error}");
        RunError::Control(io::Error::new(error.kind(), text))
    })
}

/// The admin listener, and a line for the operator where it is not at the address that was set.
async fn bind_admin(wanted: SocketAddr) -> Result<(TcpListener, Option<String>), RunError> {
    let error = match TcpListener::bind(wanted).await {
        Ok(listener) => return Ok((listener, None)),
        Err(error) => error,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(RunError::Control)?;
    let address = listener.local_addr().map_err(RunError::Control)?;
    Ok((listener, Some(format!("{wanted} cannot be had for /metrics ({error}), so it is at {address}"))))
}

fn fixed(viaduct: &Viaduct, members: Vec<Member>, metrics: SocketAddr) -> Fixed {
    let address = viaduct.snapshot.listeners().first().map(|listener| listener.address);
    let engine = viaduct.cells().next().map_or("none", |cells| cells.engine.label());
    Fixed {
        viaduct: address.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        shards: viaduct.cells().count(),
        engine,
        fallback: viaduct.cells().any(|cells| cells.fallback),
        metrics,
        members,
    }
}

async fn start_agents(
    demo: &DemoSettings,
    sockets: Vec<UdpSocket>,
    viaduct: SocketAddr,
    figures: &Rc<Figures>,
) -> Result<JoinSet<()>, RunError> {
    let mut agents = JoinSet::new();
    for (index, socket) in sockets.into_iter().enumerate() {
        let me = socket.local_addr().map_err(RunError::Control)?;
        let backend = Backend::new(me, index, draw()?, figures.clone());
        agents.spawn_local(agent::run(socket, backend));
    }
    let (socket, me) = open(Ipv4Addr::LOCALHOST).await?;
    let caller = Caller::new(me, viaduct, demo.calls_per_second, draw()?, figures.clone());
    agents.spawn_local(agent::run(socket, caller));
    Ok(agents)
}

fn draw() -> Result<Draws, RunError> {
    Draws::from_system().map_err(|error| RunError::Control(io::Error::other(error)))
}

/// What the screen is made from.
struct Show {
    admin: Arc<Admin>,
    figures: Rc<Figures>,
    fixed: Fixed,
    began: Instant,
}

impl Show {
    /// Shows the figures until the time is over, the operator ends it or nobody reads them; then lets the calls in
    /// progress end, and sums up.
    async fn until_the_end(&self, seconds: u32, viaduct: &mut Viaduct) -> Result<(), RunError> {
        let mut screen = Screen::on_standard_output();
        let mut terminations = Terminations::new().map_err(RunError::Control)?;
        tokio::select! {
            outcome = viaduct.wait(&mut terminations) => drop(outcome?),
            () = time_is_over(seconds) => {}
            () = self.redraw(&mut screen) => {}
        }
        let called_for = self.began.elapsed();
        self.figures.end();
        tokio::select! {
            outcome = viaduct.wait(&mut terminations) => drop(outcome?),
            _ = timeout(DRAIN, self.quiet()) => {}
        }
        self.figures.abandon_the_rest();
        let view = View { elapsed: called_for, ..self.view(called_for, 0, 0) };
        let _ = screen.sum_up(&self.fixed, &view);
        Ok(())
    }

    /// Returns when the screen can be written no more.
    async fn redraw(&self, screen: &mut Screen) {
        let mut second = interval(Duration::from_secs(1));
        let (mut started, mut received, mut at) = (0, 0, self.began);
        loop {
            second.tick().await;
            let now = Instant::now();
            let view = self.view(now - at, started, received);
            if screen.draw(&self.fixed, &view).is_err() {
                return;
            }
            (started, received, at) = (view.calls.started, view.page.received(), now);
        }
    }

    /// Returns when no call is in progress and Viaduct has dealt with all that it received.
    async fn quiet(&self) {
        while self.figures.in_progress() > 0 || self.page().under_way() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The figures, with the rates over the last `period`, when so many calls were started and messages received.
    fn view(&self, period: Duration, started: u64, received: u64) -> View {
        let (calls, page) = (self.figures.calls(), self.page());
        let per_second = |now: u64, before: u64| now.saturating_sub(before) as f64 / period.as_secs_f64().max(0.001);
        View {
            elapsed: self.began.elapsed(),
            calls_per_second: per_second(calls.started, started),
            messages_per_second: per_second(page.received(), received),
            calls,
            page,
        }
    }

    fn page(&self) -> Page {
        self.admin.metrics.page().map(|text| Page::read(&text)).unwrap_or_default()
    }
}

async fn time_is_over(seconds: u32) {
    match seconds {
        0 => std::future::pending().await,
        seconds => sleep(Duration::from_secs(u64::from(seconds))).await,
    }
}
