//! The library of family `system` that the agent loads at run time.
