//! What backends say of their load, and what comes of it: one that answers 503 with Retry-After gets no new calls for that time, and one
//! that asks for fewer requests (RFC 7339) gets as many fewer.
//!
//! To let the shard that hears of it act at once looked quicker. The others would not know, and what a backend gets would depend
//! on where its responses come in; so shards note what they hear, and one task on the control thread draws the conclusions for all.
//!
//! | module | charge |
//! | --- | --- |
//! | [`rest`] | who is let rest, and for how long |
//! | [`loss`] | how many requests each is not to be sent |
//! | [`monitor`] | takes what the shards have noted, and has the pool changed |

pub mod loss;
pub mod monitor;
pub mod rest;
