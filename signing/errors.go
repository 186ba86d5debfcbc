package signing

import "errors"

// What can be wrong with a repository's metadata and targets, for errors.Is.
var (
	// ErrSignature: a signature is missing or wrong, or fewer keys than the
	// threshold have signed.
	ErrSignature = errors.New("not signed as the trusted root demands")
	// ErrExpired: metadata is past its date; see also ErrClockBehind.
	ErrExpired = errors.New("metadata has expired")
	// ErrRollback: metadata is older than what was trusted before, or other
	// under the same version.
	ErrRollback = errors.New("metadata goes back behind what was trusted before")
	// ErrMismatch: length, digest, version or type is not what signed metadata
	// says.
	ErrMismatch = errors.New("content is not what signed metadata says")
	// ErrMalformed: not strict JSON of the expected shape.
	ErrMalformed = errors.New("metadata is malformed")
	// ErrRootChain: the baked-in root cannot be reached from the trusted one.
	ErrRootChain = errors.New("roots do not form a chain")
	// ErrTooLarge: the server sends, or would send, more than the limit.
	ErrTooLarge = errors.New("more data than allowed")
	// ErrTooSlow: the server sends slower than the minimum rate.
	ErrTooSlow = errors.New("data comes too slowly")
	// ErrNotFound: signed metadata lists no such target.
	ErrNotFound = errors.New("no such target in the repository")
	// ErrUnavailable: the network or the server failed; worth another try.
	ErrUnavailable = errors.New("repository is unavailable")
	// ErrClockBehind: the clock shows a time well before one already seen.
	ErrClockBehind = errors.New("clock is behind the newest time seen")
)

// What can be wrong with keys.
var (
	// ErrKeyExposed: a private key file can be read by group or others.
	ErrKeyExposed = errors.New("private key is readable by others")
	// ErrKeyLocked: a key is encrypted, and nothing gives its passphrase.
	ErrKeyLocked = errors.New("the key is encrypted and no passphrase is given")
	// ErrPassphrase: a passphrase does not open a key.
	ErrPassphrase = errors.New("the passphrase is wrong")
	// ErrKeyMissing: too few of the keys that a role needs are at hand.
	ErrKeyMissing = errors.New("signing key is missing")
)
