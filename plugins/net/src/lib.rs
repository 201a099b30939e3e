//! Family `net`: what comes over sockets.

mod accept;
mod address;
mod bind;
mod connection;
mod datagram;
mod hub;
mod socket_listener;
mod split;
mod tls;

headwater_plugin_api::family! {
    name: "net",
    services: [socket_listener::SocketListener],
}
