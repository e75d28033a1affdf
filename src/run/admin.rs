//! What the admin listener needs: a socket, and what the API works with.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::config::Settings;
use crate::config::error::ConfigError;
use crate::control::admin::api::Api;
use crate::control::admin::problem::Problem;
use crate::control::admin::rates::Rates;
use crate::control::reload::Reload;

use super::process::Viaduct;
use super::upgrade::inheritance::Inheritance;
use super::{Desk, RunError, admission};

/// The listener's socket, as it goes over from another process or anew.
pub(super) async fn bind(settings: &Settings, inherited: &mut Inheritance) -> Result<TcpListener, RunError> {
    let bound = match inherited.admin(settings.admin.admin_listen) {
        Some(listener) => listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)),
        None => TcpListener::bind(settings.admin.admin_listen).await,
    };
    let unusable = |error| {
        let right = "an address of this machine with a free port, as 127.0.0.1:9060";
        RunError::from(ConfigError::new("VIADUCT_ADMIN_LISTEN", settings.admin.admin_listen, error, right))
    };
    bound.map_err(unusable)
}

impl Viaduct {
    /// What operators ask and change by HTTP; settings are read again by that, where they can be.
    pub fn api(&self, desk: Desk, reload: Option<Reload>) -> Arc<Api> {
        let Desk { pool, servers, guard, log } = desk;
        let snapshot = self.snapshot.clone();
        let admit = move |list: &str| {
            let members = admission::members(list, snapshot.listeners(), servers.clone());
            members.map_err(|error| Problem::senseless(error.wrong(), error.right()))
        };
        Arc::new(Api {
            pool,
            shards: self.cells().cloned().collect(),
            pool_cells: self.pool.clone(),
            rates: Rates::default(),
            cells: self.admin_cells.clone(),
            guard,
            admit: Arc::new(admit),
            names: self.exchange.clone(),
            log,
            drain: self.drain.clone(),
            reload,
            reloads: self.reloads.clone(),
            started: self.started,
            unauthorised_told_s: AtomicU64::new(0),
            previews: Semaphore::new(1),
        })
    }
}
