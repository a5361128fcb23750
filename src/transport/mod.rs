//! Listening, dialling, the handshake, frames, and back-pressure per peer, on mio.
//!
//! Knows nothing of Raft beyond "bytes for process X". Runs on the event-loop thread that owns it.
