package openpgp

import (
	"bytes"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	pgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// signature is one that was read; refused says why it is not looked at.
type signature struct {
	*packet.Signature
	refused error
}

// readSignatures reads the packets of a signature. Other packets are errors.
func readSignatures(binary []byte) ([]signature, error) {
	var all []signature
	for packets := packet.NewOpaqueReader(bytes.NewReader(binary)); ; {
		p, err := packets.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBadSignature, err)
		}
		if p.Tag != signatureTag {
			return nil, fmt.Errorf("%w: there is a packet of type %d where a signature belongs", ErrBadSignature, p.Tag)
		}
		s, err := readSignature(p)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBadSignature, noEOF(err))
		}
		if all = append(all, s); len(all) > maxSignatures {
			return nil, fmt.Errorf("%w: more than %d signatures", ErrBadSignature, maxSignatures)
		}
	}
	if len(all) == 0 {
		return nil, ErrUnsigned
	}
	return all, nil
}

const signatureTag = 2 // RFC 9580, section 5

func readSignature(p *packet.OpaquePacket) (signature, error) {
	suffix, old := fromVersion3(p)
	parsed, err := p.Parse()
	var unsupported pgperrors.UnsupportedError
	if errors.As(err, &unsupported) {
		return signature{refused: fmt.Errorf("%w: %w", ErrWeak, unsupported)}, nil
	}
	s, ok := parsed.(*packet.Signature)
	if err != nil || !ok {
		return signature{}, err
	}
	if old {
		s.HashSuffix = suffix
	}
	return signature{s, acceptable(s)}, nil
}

// acceptable refuses what a signature of a document must not be.
func acceptable(s *packet.Signature) error {
	switch {
	case s.SigType != packet.SigTypeBinary && s.SigType != packet.SigTypeText:
		return fmt.Errorf("%w: signature of type %#x: want one of a document", ErrBadSignature, s.SigType)
	case policy().RejectMessageHashAlgorithm(s.Hash):
		return fmt.Errorf("%w: signature over %s", ErrWeak, s.Hash)
	}
	for _, n := range s.Notations {
		if n.IsCritical {
			return fmt.Errorf("%w: critical notation %q is not known", ErrWeak, n.Name)
		}
	}
	return nil
}

func (s signature) issuer() string {
	if s.IssuerKeyId == nil {
		return "a key that it does not name"
	}
	return fmt.Sprintf("%016X", *s.IssuerKeyId)
}

// candidate is a signature and a key that may have made it.
type candidate struct {
	signature
	key     *packet.PublicKey
	owners  []owner
	hash    hash.Hash // of the content and, in the end, of the signature's own fields
	content hash.Hash // the same, of a text's lines where it is one
}

// owner is a key that key is a part of. The same key may be there twice, with
// other things said about it.
type owner struct {
	entity *pgp.Entity
	subkey *pgp.Subkey // nil for the primary key
}

// candidates finds the keys that a signature names.
func (k *Keyring) candidates(s signature) []*candidate {
	var found []*candidate
	add := func(key *packet.PublicKey, o owner) {
		if !s.CheckKeyIdOrFingerprint(key) {
			return
		}
		for _, c := range found {
			if bytes.Equal(c.key.Fingerprint, key.Fingerprint) {
				c.owners = append(c.owners, o)
				return
			}
		}
		found = append(found, &candidate{signature: s, key: key, owners: []owner{o}})
	}
	for _, e := range k.entities {
		add(e.PrimaryKey, owner{entity: e})
		for i := range e.Subkeys {
			add(e.Subkeys[i].PublicKey, owner{e, &e.Subkeys[i]})
		}
	}
	return found
}

// prepare makes the hashes that the content is written to.
func (c *candidate) prepare() error {
	if err := strong(c.key); err != nil {
		return err
	}
	var err error
	if c.hash, err = c.PrepareVerify(); err != nil {
		return fmt.Errorf("%w: %w", ErrWeak, err)
	}
	c.content = c.hash
	if c.SigType == packet.SigTypeText {
		c.content = pgp.NewCanonicalTextHash(c.hash)
	}
	return nil
}

// check is called once, after the content was written.
func (k *Keyring) check(c *candidate, at time.Time) (Signer, error) {
	if err := c.key.VerifySignature(c.hash, c.Signature); err != nil {
		return Signer{}, fmt.Errorf("%w: by %s: %w", ErrBadSignature, c.key.KeyIdString(), err)
	}
	// A machine's clock may be behind that of the signer.
	const skew = 24 * time.Hour
	switch {
	case at.IsZero() || at.Before(c.CreationTime) && !at.Before(c.CreationTime.Add(-skew)):
		at = c.CreationTime
	case at.Before(c.CreationTime):
		return Signer{}, fmt.Errorf("%w: the signature by %s is from %s, after %s", ErrExpired,
			c.key.KeyIdString(), day(c.CreationTime), day(at))
	}
	if end, limited := ends(c.CreationTime, c.SigLifetimeSecs); limited && at.After(end) {
		return Signer{}, fmt.Errorf("%w: the signature by %s expired on %s", ErrExpired, c.key.KeyIdString(), day(end))
	}
	if c.CreationTime.Before(c.key.CreationTime) {
		return Signer{}, fmt.Errorf("%w: by %s: made on %s, before its key, %s", ErrBadSignature,
			c.key.KeyIdString(), day(c.CreationTime), day(c.key.CreationTime))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return c.vouched(at)
}

// ends is when what was created then stops to hold, if it does.
func ends(created time.Time, lifetime *uint32) (time.Time, bool) {
	if lifetime == nil || *lifetime == 0 {
		return time.Time{}, false
	}
	return created.Add(time.Duration(*lifetime) * time.Second), true
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }
