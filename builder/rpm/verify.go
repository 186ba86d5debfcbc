package rpm

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"github.com/proa-os/proa/builder/openpgp"
	"github.com/proa-os/proa/regular"
)

// Errors that callers may branch on; what openpgp says is wrapped.
var (
	ErrUnsigned        = errors.New("the header is not signed")
	ErrNoPayloadDigest = errors.New("the header has no SHA-256 digest of the payload")
	ErrWrongPayload    = errors.New("the payload is not the one of the header")
)

const (
	leadSize  = 96
	leadMagic = "\xed\xab\xee\xdb"
	algoSHA1  = 2
	algoSHA2  = 8 // SHA-256, as OpenPGP counts (RFC 9580, section 9.5)
)

// opened is a package file whose header can be trusted.
type opened struct {
	file      *os.File
	header    *header
	start     int64 // of the header
	payload   int64 // where it starts
	size      int64 // of the file
	signature value // that vouches for the header, with its tag; zero if unsigned is allowed
	signedBy  tag
}

// open reads the header of a package, and does not look into it before a
// signature of one of the keys has been found good. Keys are nil only where
// anybody's packages are wanted.
func open(path string, keys *openpgp.Keyring) (*opened, error) {
	file, info, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	o := &opened{file: file, size: info.Size()}
	if err := o.readHeaders(keys); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return o, nil
}

func (o *opened) readHeaders(keys *openpgp.Keyring) error {
	var lead [leadSize]byte
	if n, err := o.file.ReadAt(lead[:], 0); err != nil && (err != io.EOF || n < leadSize) {
		return fmt.Errorf("not an RPM package: %w", noEOF(err))
	}
	if string(lead[:4]) != leadMagic {
		return errors.New("not an RPM package")
	}
	if lead[4] != 3 && lead[4] != 4 {
		return fmt.Errorf("RPM package of format %d: want 3 or 4", lead[4])
	}
	raw, err := readRaw(o.file, leadSize, o.size, maxSigStore)
	if err != nil {
		return fmt.Errorf("the signature header %w", err)
	}
	signatures, _, err := parseHeader(raw[8:], tagSignatures)
	if err != nil {
		return fmt.Errorf("the signature header %w", err)
	}
	o.start = (leadSize + int64(len(raw)) + 7) / 8 * 8
	if raw, err = readRaw(o.file, o.start, o.size, maxStore); err != nil {
		return fmt.Errorf("the header %w", err)
	}
	o.payload = o.start + int64(len(raw))
	if keys != nil {
		if err := o.demandSigner(signatures, raw, keys); err != nil {
			return err
		}
	}
	if o.header, err = parseImmutable(raw[8:]); err != nil {
		return fmt.Errorf("the header %w", err)
	}
	return nil
}

// demandSigner finds one good signature over the header alone. Those over
// header and payload together do not count: they can be checked only by
// reading all that they do not yet vouch for.
func (o *opened) demandSigner(signatures *header, raw []byte, keys *openpgp.Keyring) error {
	var found []value
	var by []tag
	for _, t := range []tag{tagOpenPGP, tagRSAHeader, tagDSAHeader} {
		if v, ok := signatures.values[t]; ok {
			all, err := signatureBytes(signatures, t)
			if err != nil {
				return fmt.Errorf("the signature header: %w", err)
			}
			for _, data := range all {
				found, by = append(found, value{v.kind, len(data), data}), append(by, t)
			}
		}
	}
	if len(found) == 0 {
		if signatures.has(tagSigPGP) || signatures.has(tagSigGPG) {
			return fmt.Errorf("%w: there is only a signature over header and payload together", ErrUnsigned)
		}
		return ErrUnsigned
	}
	var errs []error
	for i, signature := range found {
		_, err := keys.VerifyDetached(bytes.NewReader(raw), signature.data, time.Time{})
		if err == nil {
			o.signature, o.signedBy = signatures.values[by[i]], by[i]
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("the header's signature: %w", errors.Join(errs...))
}

// signatureBytes are the OpenPGP signatures of a tag: one binary, or several
// in base64.
func signatureBytes(h *header, t tag) ([][]byte, error) {
	if t != tagOpenPGP {
		data, err := h.bytes(t)
		return [][]byte{data}, err
	}
	texts, err := h.strings(t)
	if err != nil {
		return nil, err
	}
	const most = 16
	if len(texts) > most {
		return nil, fmt.Errorf("%d signatures: want at most %d", len(texts), most)
	}
	all := make([][]byte, len(texts))
	for i, text := range texts {
		if all[i], err = base64.StdEncoding.DecodeString(text); err != nil {
			return nil, fmt.Errorf("tag %d: %w", t, err)
		}
	}
	return all, nil
}

// verifyPayload compares the payload with the digest in the header, and
// returns the MD5 of header and payload that RPM's database keeps.
func (o *opened) verifyPayload(ctx context.Context) ([]byte, error) {
	want, err := o.header.strings(tagPayloadDigest)
	if err != nil {
		return nil, err
	}
	algo, err := o.header.number(tagPayloadDigestAlgo, 0)
	if err != nil {
		return nil, err
	}
	if len(want) == 0 {
		return nil, ErrNoPayloadDigest
	}
	if algo != algoSHA2 {
		return nil, fmt.Errorf("%w: it has one of algorithm %d", ErrNoPayloadDigest, algo)
	}
	both, payload := md5.New(), sha256.New()
	if _, err := copyContext(ctx, both, io.NewSectionReader(o.file, o.start, o.payload-o.start)); err != nil {
		return nil, err
	}
	n, err := copyContext(ctx, io.MultiWriter(both, payload), io.NewSectionReader(o.file, o.payload, o.size-o.payload))
	if err != nil {
		return nil, err
	}
	if got := hexSum(payload); got != want[0] || n != o.size-o.payload {
		return nil, fmt.Errorf("%w: it has the SHA-256 %s, want %.64q", ErrWrongPayload, got, want[0])
	}
	return both.Sum(nil), nil
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// digests are the SHA-1 and SHA-256 of the header as a file has it.
func (h *header) digests() (sha1Hex, sha256Hex string) {
	one, two := sha1.New(), sha256.New()
	both := io.MultiWriter(one, two)
	both.Write(headerMagic[:])
	both.Write(h.blob)
	return hexSum(one), hexSum(two)
}

// copyContext is io.Copy that a cancelled ctx ends.
func copyContext(ctx context.Context, w io.Writer, r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	}), make([]byte, 256<<10))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
