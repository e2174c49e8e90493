//! The SSH server of one connection: who may log in, and which channel runs what.
//!
//! It knows SSH messages and nothing of what a script means; see [`super::exec`] for that.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::PrivateKey;
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, MethodKind, MethodSet};
use tokio::io::{AsyncRead, AsyncWrite};

use super::exec;
use super::worker::Worker;

/// Serves one connection to its end.
pub(super) async fn serve(
    worker: &Arc<Worker>,
    id: u64,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let handler = Connection { worker: Arc::clone(worker), id, channels: HashMap::new() };
    if let Ok(session) = russh::server::run_stream(Arc::new(config(worker.key())), stream, handler).await {
        let _ = session.await;
    }
}

fn config(key: PrivateKey) -> Config {
    Config {
        keys: vec![key],
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        // Loopback and one client: nothing to be slow for.
        auth_rejection_time: Duration::from_millis(20),
        auth_rejection_time_initial: Some(Duration::ZERO),
        inactivity_timeout: None,
        nodelay: true,
        window_size: 512 * 1024,
        ..Config::default()
    }
}

struct Connection {
    worker: Arc<Worker>,
    id: u64,
    /// Open and not yet running anything.
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl Connection {
    fn known(&self, key: &russh::keys::PublicKey) -> Auth {
        if key.key_data() == self.worker.common.client_key.key_data() { Auth::Accept } else { Auth::reject() }
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.known(offer.public_key))
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        Ok(self.known(key.public_key))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        _value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        // As a server that accepts no environment.
        session.channel_failure(channel)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(open) = self.channels.remove(&channel) else {
            return session.channel_failure(channel);
        };
        session.channel_success(channel)?;
        let command = String::from_utf8_lossy(data).into_owned();
        tokio::spawn(exec::run(Arc::clone(&self.worker), open, command, self.id));
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.channels.remove(&channel);
        Ok(())
    }
}
