//! The interface of Headwater plugins.
