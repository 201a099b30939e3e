//! The library of family `aggregate` that the agent loads at run time.
