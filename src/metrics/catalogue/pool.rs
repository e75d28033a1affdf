//! The pool: what each backend is sent and sends, how it stands, and what is asked of it.

use super::{Metric, metric};

/// Requests to a backend.
pub const BACKEND_REQUESTS: Metric = metric(
    "viaduct_backend_requests_total",
    "Requests that left for a backend. One that waited for a connection in vain is none.",
    &["backend"],
);

/// Responses from a backend.
pub const BACKEND_RESPONSES: Metric = metric(
    "viaduct_backend_responses_total",
    "Responses that came from a backend's address, by class.",
    &["backend", "status_class"],
);

/// How long backends take.
pub const BACKEND_RESPONSE: Metric = metric(
    "viaduct_backend_response_seconds",
    "Time from a request to its response by a backend, as Viaduct sees it: the first response (a 100 to an INVITE, the final \
     one to others) and the final one. An INVITE that is answered by 180 without a 100 before it has no first. A response \
     that is sent again counts again, from the first request, so losses lengthen the tail. Beyond 60 s nothing is counted.",
    &["backend", "phase", "method_class"],
);

/// A backend's weight.
pub const BACKEND_WEIGHT: Metric =
    metric("viaduct_backend_weight", "The configured weight of a backend.", &["backend"]);

/// The weight in effect.
pub const BACKEND_EFFECTIVE_WEIGHT: Metric = metric(
    "viaduct_backend_effective_weight",
    "The weight by which a backend gets new calls: 0 while it drains, is down or overloaded, less than its weight while that rises, \
     and its weight again where all are down.",
    &["backend"],
);

/// Whether a backend is up.
pub const BACKEND_UP: Metric =
    metric("viaduct_backend_up", "1 where a backend is up; 0 where it drains or is down.", &["backend"]);

/// How a backend stands.
pub const BACKEND_STANDING: Metric = metric(
    "viaduct_backend_standing",
    "1 for the standing that a backend has: up gets new calls, draining keeps its dialogs, down gets nothing.",
    &["backend", "standing"],
);

/// Changes of standing.
pub const BACKEND_CHANGES: Metric = metric(
    "viaduct_backend_changes_total",
    "How often a backend's standing became that one. Where it keeps rising, the backend or the way to it flaps.",
    &["backend", "standing"],
);

/// Outliers.
pub const BACKEND_EJECTIONS: Metric = metric(
    "viaduct_backend_ejections_total",
    "How often a backend was set aside for a while because it stood out: by requests that it left unanswered, or by 5xx \
     (VIADUCT_OUTLIER); the log says by which.",
    &["backend"],
);

/// Held back.
pub const BACKEND_HELD_BACK: Metric = metric(
    "viaduct_backend_held_back",
    "1 where a backend that is up gets no new calls for a while, by reason: overloaded (it answers probes 503), retry_after (it \
     answered a request 503 with Retry-After), outlier (VIADUCT_OUTLIER). It keeps its dialogs.",
    &["backend", "reason"],
);

/// Retry-After.
pub const BACKEND_RETRY_AFTER: Metric = metric(
    "viaduct_backend_retry_after_total",
    "Requests that a backend has answered 503 with Retry-After.",
    &["backend"],
);

/// Rests.
pub const BACKEND_RESTS: Metric = metric(
    "viaduct_backend_rests_total",
    "How often a backend began to rest: it got no new calls, for as long as its Retry-After said (VIADUCT_RETRY_AFTER).",
    &["backend"],
);

/// Overload control.
pub const BACKEND_LOAD_REPORTS: Metric = metric(
    "viaduct_backend_load_reports_total",
    "Responses in which a backend said how many requests it wants (RFC 7339), less those that were overtaken. 0 where it does not \
     know overload control (VIADUCT_OVERLOAD_CONTROL).",
    &["backend"],
);

/// The share that is shed.
pub const BACKEND_LOSS: Metric = metric(
    "viaduct_backend_loss_ratio",
    "The part of requests that begin something that a backend has asked not to be sent (RFC 7339), in effect.",
    &["backend"],
);

/// What was shed.
pub const BACKEND_SHED: Metric = metric(
    "viaduct_backend_requests_shed_total",
    "Requests that were answered 503 in the place of a backend that has asked for fewer (RFC 7339). They are among the answers too.",
    &["backend"],
);

/// What became of probes.
pub const PROBES: Metric = metric(
    "viaduct_probes_total",
    "What became of probes. alive: an answer that proves life (VIADUCT_PROBE_CODES); overloaded: a 503; failing: another answer; \
     unanswered: none in time; refused: no connection, or a closed port; unsent: no room in Viaduct, or a route that rests since it \
     failed. Where real responses come, few are needed.",
    &["backend", "outcome"],
);

/// Probes sent.
pub const PROBES_SENT: Metric = metric(
    "viaduct_probes_sent_total",
    "Probes that the kernel took. They are more than what came in, and in none of the sums; their answers are absorbed.",
    &[],
);

/// Whether all are down.
pub const PANIC: Metric = metric(
    "viaduct_pool_panic",
    "1 where no backend can take calls, so that they go to all that the administrator lets have any (VIADUCT_PANIC).",
    &[],
);

/// A backend's share.
pub const BACKEND_SHARE: Metric = metric(
    "viaduct_backend_key_share_ratio",
    "The part of the key space that a backend owns; new calls follow it.",
    &["backend"],
);

/// All of these.
pub(super) const ALL: &[Metric] = &[
    BACKEND_REQUESTS,
    BACKEND_RESPONSES,
    BACKEND_RESPONSE,
    BACKEND_WEIGHT,
    BACKEND_EFFECTIVE_WEIGHT,
    BACKEND_UP,
    BACKEND_STANDING,
    BACKEND_CHANGES,
    BACKEND_EJECTIONS,
    BACKEND_HELD_BACK,
    BACKEND_RETRY_AFTER,
    BACKEND_RESTS,
    BACKEND_LOAD_REPORTS,
    BACKEND_LOSS,
    BACKEND_SHED,
    PROBES,
    PROBES_SENT,
    PANIC,
    BACKEND_SHARE,
];
