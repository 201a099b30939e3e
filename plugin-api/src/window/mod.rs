//! The window engine that SQL and the aggregators share: windows in event time, who may still feed
//! them, and tables of groups.
//!
//! Event time decides the window; who may still feed it decides its closing. A source (see
//! [`Batch::origin`](crate::batch::Batch::origin)) is *live* when its latest points came within
//! `delay` of their event time, else *catching up*. A window closes once the clock is past its end
//! and `delay` and, if a catching-up source has fed it, once each catching-up source's event time
//! is past that too, or it has ended, or been silent for `idle`, or the window has been held for
//! `hold` (a finite source is waited for without that bound).
//!
//! - [`Grid`]: the time axis cut into windows.
//! - [`Windows`]: the open windows, generic over what a window holds.
//! - [`Hops`]: open windows that overlap, made of the panes they share.
//! - [`Sessions`]: windows that last until a group is silent.
//! - [`Sources`]: live, catching up, ended; the closing rule as such, for windows of other forms.
//! - [`Ranges`]: which windows were emitted, in bounded memory.
//! - [`Groups`]: a table from group keys to dense numbers.
//! - [`codec`]: how their states are written.
//! - [`SeriesCache`]: what depends on a series alone, worked out once; [`SeriesNumbers`]: the same look-up
//!   for several.
//!
//! No clock is read here: `now` is an argument everywhere, in nanoseconds since the epoch.

pub mod codec;
mod grid;
mod groups;
mod hops;
mod life;
mod ranges;
mod series;
mod sessions;
mod slots;
mod sources;
mod windows;

pub use grid::{Grid, Span};
pub use groups::Groups;
pub use hops::{HopGrid, HopPlace, HopReady, Hops};
pub use ranges::Ranges;
pub use series::{SeriesCache, SeriesNumbers};
pub use sessions::{ClosedSession, SessionPlace, Sessions};
pub use sources::{Feed, Reached, Sources};
pub use windows::{Closing, Place, Policy, Ready, Windows};
