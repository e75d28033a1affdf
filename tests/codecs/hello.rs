//! First messages of TLS clients that the library would not write: of earlier versions and with ciphers that are gone.

/// A ClientHello of a version, with one cipher suite, without a list of versions.
pub fn client_hello(version: [u8; 2], suite: [u8; 2]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend([0, 2]);
    body.extend(suite);
    body.extend([1, 0]);
    let extensions: Vec<u8> =
        [extension(10, &[0, 2, 0, 23]), extension(11, &[1, 0]), extension(13, &[0, 4, 4, 3, 8, 4])].concat();
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut message = vec![1, 0];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
    record(22, &message)
}

/// One record of a type.
pub fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 3, 3];
    record.extend((payload.len() as u16).to_be_bytes());
    record.extend(payload);
    record
}

fn extension(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut extension = kind.to_be_bytes().to_vec();
    extension.extend((payload.len() as u16).to_be_bytes());
    extension.extend(payload);
    extension
}
