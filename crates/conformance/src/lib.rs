//! Black-box suite for any Glacier endpoint.
