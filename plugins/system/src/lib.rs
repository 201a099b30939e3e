//! Family `system`.
