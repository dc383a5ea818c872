//! Requests as the clients of the service sign them.
