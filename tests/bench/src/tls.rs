//! A TLS client that believes every certificate: the benches make theirs on the spot.

use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::net::SendFlags;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

#[derive(Debug)]
struct Anybody(CryptoProvider);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Makes the clients of a run.
#[derive(Debug)]
pub struct Clients {
    config: Arc<ClientConfig>,
}

/// As so many clients they come: rustls keeps eight tickets for the name of a server, too few for a crowd.
const CLIENTS: u8 = 128;

impl Clients {
    /// Every client is one of its own, unless `resumed`: sessions that are resumed make handshakes cheaper than they are.
    pub fn new(resumed: bool) -> Result<Self, Error> {
        let mut config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(aws_lc_rs::default_provider())))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if !resumed {
            config.resumption = rustls::client::Resumption::disabled();
        }
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// The client of this number. The servers' names are addresses, which are not sent.
    pub fn client(&self, number: usize) -> Result<ClientConnection, Error> {
        let last = u8::try_from(number % usize::from(CLIENTS)).unwrap_or(0);
        let name = ServerName::from(Ipv4Addr::new(127, 0, 0, last));
        ClientConnection::new(Arc::clone(&self.config), name)
    }
}

/// A socket as rustls wants it.
pub struct Socket<'a>(pub &'a OwnedFd);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self.0, buffer)?)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends what TLS has to say; whether something is left.
pub fn push(tls: &mut ClientConnection, fd: &OwnedFd) -> Result<bool, crate::error::Error> {
    while tls.wants_write() {
        match tls.write_tls(&mut Socket(fd)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(false)
}

/// What became of a connection, as an error of its TLS.
pub fn failed(error: io::Error) -> crate::error::Error {
    crate::error::Error::Tls(Error::General(error.to_string()))
}
