//! The library of family `files` that the agent loads at run time.
