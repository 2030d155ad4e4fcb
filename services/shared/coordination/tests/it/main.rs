//! The limiter and the session store against a real Redis.

mod limits;
mod redis_server;
mod shared_sessions;
mod tls;
