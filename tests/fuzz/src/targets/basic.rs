//! `Authorization: Basic`, the value alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidegate::wire::basic::Login;

pub fn check(data: &[u8]) -> Option<()> {
    let login = Login::parse(data)?;
    let (name, password) = (login.name(), login.password());
    let both = [name, b":", password].concat();
    assert_eq!(login.as_bytes(), both);
    assert!(!name.contains(&b':') && !both.iter().any(u8::is_ascii_control));
    let again = format!("Basic {}", STANDARD.encode(&both));
    assert_eq!(Login::parse(again.as_bytes()), Some(login));
    Some(())
}
