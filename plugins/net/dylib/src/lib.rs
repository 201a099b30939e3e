//! The library of family `net` that the agent loads at run time.
