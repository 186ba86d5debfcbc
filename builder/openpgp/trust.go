package openpgp

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	pgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// strong refuses keys that can be forged or are not known.
func strong(key *packet.PublicKey) error {
	p := policy()
	if p.RejectPublicKeyAlgorithm(key.PubKeyAlgo) || !key.PubKeyAlgo.CanSign() {
		return fmt.Errorf("%w: key %s has public key algorithm %d", ErrWeak, key.KeyIdString(), key.PubKeyAlgo)
	}
	switch key.PubKeyAlgo {
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly:
		if bits, err := key.BitLength(); err != nil || bits < p.MinimumRSABits() {
			return fmt.Errorf("%w: RSA key %s has %d bits: want at least %d", ErrWeak, key.KeyIdString(), bits, p.MinimumRSABits())
		}
	case packet.PubKeyAlgoEdDSA, packet.PubKeyAlgoECDSA:
		if curve, err := key.Curve(); err != nil || p.RejectCurve(curve) {
			return fmt.Errorf("%w: key %s is on the curve %q", ErrWeak, key.KeyIdString(), curve)
		}
	}
	return nil
}

// vouched makes sure that the key was one to sign with at the given time. If one
// copy of it is revoked, it is; otherwise one copy that is valid is enough.
func (c *candidate) vouched(at time.Time) (Signer, error) {
	var wrong failures
	var valid *Signer
	for _, o := range c.owners {
		name, err := o.valid(c.key, at)
		switch {
		case errors.Is(err, ErrRevoked):
			return Signer{}, err
		case err != nil:
			wrong = append(wrong, err)
		default:
			valid = &Signer{
				Fingerprint: fmt.Sprintf("%X", o.entity.PrimaryKey.Fingerprint),
				KeyID:       c.key.KeyIdString(),
				Name:        name,
				Created:     c.CreationTime,
			}
		}
	}
	if valid == nil {
		return Signer{}, wrong
	}
	return *valid, nil
}

// valid returns the name of the key's owner.
func (o owner) valid(key *packet.PublicKey, at time.Time) (string, error) {
	e, id := o.entity, o.entity.PrimaryKey.KeyIdString()
	if e.Revoked(at) {
		return "", fmt.Errorf("%w: %s", ErrRevoked, id)
	}
	if err := strong(e.PrimaryKey); err != nil {
		return "", err
	}
	self, name := selfSignature(e)
	if self == nil {
		return "", fmt.Errorf("%w: %s has no self-signature that holds", ErrUnknownKey, id)
	}
	if err := expired(e.PrimaryKey, self, at); err != nil {
		return "", err
	}
	if direct, err := e.LatestValidDirectSignature(time.Time{}, policy()); err == nil {
		if err := expired(e.PrimaryKey, direct, at); err != nil {
			return "", err
		}
	}
	if o.subkey != nil {
		return name, o.validSubkey(key, at)
	}
	// Keys of old programs do not say what they are for.
	if self.FlagsValid && !self.FlagSign {
		return "", fmt.Errorf("%w: %s is not a key to sign with", ErrUnknownKey, id)
	}
	return name, nil
}

func (o owner) validSubkey(key *packet.PublicKey, at time.Time) error {
	binding, err := o.subkey.LatestValidBindingSignature(time.Time{}, policy())
	if err != nil {
		return fmt.Errorf("%w: %s is not bound to %s", ErrUnknownKey, key.KeyIdString(), o.entity.PrimaryKey.KeyIdString())
	}
	if o.subkey.Revoked(binding, at) {
		return fmt.Errorf("%w: %s, a subkey of %s", ErrRevoked, key.KeyIdString(), o.entity.PrimaryKey.KeyIdString())
	}
	// Only with the flag does the library demand that the subkey signed back.
	if !binding.FlagSign || binding.EmbeddedSignature == nil {
		return fmt.Errorf("%w: %s is not a key to sign with", ErrUnknownKey, key.KeyIdString())
	}
	return expired(key, binding, at)
}

// expired is about a key, of which self says how long it lives.
func expired(key *packet.PublicKey, self *packet.Signature, at time.Time) error {
	for _, span := range []struct {
		from     time.Time
		lifetime *uint32
	}{{key.CreationTime, self.KeyLifetimeSecs}, {self.CreationTime, self.SigLifetimeSecs}} {
		if end, limited := ends(span.from, span.lifetime); limited && at.After(end) {
			return fmt.Errorf("%w: key %s expired on %s", ErrExpired, key.KeyIdString(), day(end))
		}
	}
	return nil
}

// selfSignature is the one that speaks for the key now, the newest, and the
// user id it is about. The library's own choice among several user ids depends
// on the order of a map.
func selfSignature(e *pgp.Entity) (best *packet.Signature, name string) {
	if e.PrimaryKey.Version == 6 {
		best, _ = e.LatestValidDirectSignature(time.Time{}, policy())
	}
	// The zero time asks for what is newest, whatever its date.
	for _, id := range slices.Sorted(maps.Keys(e.Identities)) {
		s, err := e.Identities[id].Verify(time.Time{}, policy())
		switch {
		case err != nil:
		case e.PrimaryKey.Version == 6 && name == "":
			name = id
		case best == nil, primary(s) && !primary(best), primary(s) == primary(best) && s.CreationTime.After(best.CreationTime):
			best, name = s, id
		}
	}
	return best, name
}

func primary(s *packet.Signature) bool { return s.IsPrimaryId != nil && *s.IsPrimaryId }
