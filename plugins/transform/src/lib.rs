//! Family `transform`.
