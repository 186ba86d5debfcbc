package openpgp

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
)

// VerifyDetached checks a signature, armored or binary, of all that signed has.
// At is the time at which key and signature must be valid; zero stands for the
// time at which the signature was made.
func (k *Keyring) VerifyDetached(signed io.Reader, signature []byte, at time.Time) (Signer, error) {
	const kind = "PGP SIGNATURE"
	parts, err := dearmor(signature, kind, maxSignature)
	if err != nil {
		return Signer{}, fmt.Errorf("%w: %w", ErrBadSignature, err)
	}
	return k.verify(signed, bytes.Join(parts, nil), at)
}

const clearStart = "-----BEGIN PGP SIGNED MESSAGE-----"

// VerifyInline checks a clear-signed document (RFC 9580, section 7), and returns
// what of it is signed: lines that end in \n, without blanks at their ends.
// Nothing but white space may be around it.
func (k *Keyring) VerifyInline(document []byte, at time.Time) ([]byte, Signer, error) {
	document = bytes.TrimLeft(document, " \t\r\n")
	if !bytes.HasPrefix(document, []byte(clearStart)) {
		if bytes.Contains(document, []byte("\n"+clearStart)) {
			return nil, Signer{}, fmt.Errorf("%w: there is text before %s", ErrBadSignature, clearStart)
		}
		return nil, Signer{}, fmt.Errorf("%w: want a document that starts with %s", ErrUnsigned, clearStart)
	}
	block, rest := clearsign.Decode(document)
	if block == nil {
		return nil, Signer{}, fmt.Errorf("%w: the clear-signed document is cut short or malformed", ErrBadSignature)
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, Signer{}, fmt.Errorf("%w: there is text behind the signature", ErrBadSignature)
	}
	signature, err := io.ReadAll(io.LimitReader(block.ArmoredSignature.Body, maxSignature+1))
	if err != nil {
		return nil, Signer{}, fmt.Errorf("%w: %w", ErrBadSignature, noEOF(err))
	}
	signer, err := k.verify(bytes.NewReader(block.Bytes), signature, at)
	if err != nil {
		return nil, Signer{}, err
	}
	return append(block.Plaintext, '\n'), signer, nil
}

// verify looks at every signature until one is good.
func (k *Keyring) verify(signed io.Reader, binary []byte, at time.Time) (Signer, error) {
	signatures, err := readSignatures(binary)
	if err != nil {
		return Signer{}, err
	}
	var wrong failures
	var unknown []string
	known := false
	var candidates []*candidate
	for _, s := range signatures {
		if s.refused != nil {
			wrong = append(wrong, s.refused)
			continue
		}
		found := k.candidates(s)
		if len(found) == 0 {
			unknown = append(unknown, s.issuer())
			continue
		}
		known = true
		for _, c := range found {
			if err := c.prepare(); err != nil {
				wrong = append(wrong, err)
			} else {
				candidates = append(candidates, c)
			}
		}
	}
	writers := make([]io.Writer, len(candidates))
	for i, c := range candidates {
		writers[i] = c.content
	}
	if len(candidates) > 0 {
		if _, err := io.Copy(io.MultiWriter(writers...), signed); err != nil {
			return Signer{}, err
		}
	}
	for _, c := range candidates {
		signer, err := k.check(c, at)
		if err == nil {
			return signer, nil
		}
		wrong = append(wrong, err)
	}
	if len(unknown) > 0 && !known {
		wrong = append(wrong, fmt.Errorf("%w: signed by %s, the keys given are %s",
			ErrUnknownKey, strings.Join(unknown, ", "), k.names()))
	}
	return Signer{}, wrong
}

// names lists the primary keys, as far as that helps.
func (k *Keyring) names() string {
	const most = 8
	var ids []string
	for i, e := range k.entities {
		if i == most {
			ids = append(ids, fmt.Sprintf("and %d more", len(k.entities)-most))
			break
		}
		ids = append(ids, e.PrimaryKey.KeyIdString())
	}
	return strings.Join(ids, ", ")
}

// failures are what is wrong with each signature, on one line.
type failures []error

func (f failures) Error() string {
	texts := make([]string, len(f))
	for i, err := range f {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap lets errors.Is find each.
func (f failures) Unwrap() []error { return f }
