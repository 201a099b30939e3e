//! Family `formats`.
