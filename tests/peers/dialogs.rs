//! Dialogs, registrations and transfers between real programs, carried on while the pool changes.
//!
//! | module | charge |
//! | --- | --- |
//! | `attended` | attended transfer: Replaces finds the owner |
//! | `changing_pool` | a pool that changes in mid-call |
//! | `challenged` | a pre-loaded Route, a challenge, two proxies, a BYE from the called |
//! | `dialog` | a dialog as a user agent keeps it |
//! | `flow` | a flow whose listener is gone |
//! | `long` | re-INVITE, UPDATE and INFO from either side |
//! | `record_routes` | what both sides were told of the way |
//! | `registered` | registration behind NAT, calls by Path |
//! | `removed` | dialogs of a member that leaves |
//! | `ringing` | CANCEL |
//! | `transferred` | transfer by REFER |

mod attended;
mod challenged;
mod changing_pool;
mod dialog;
mod flow;
mod long;
mod record_routes;
mod registered;
mod removed;
mod ringing;
mod transferred;
