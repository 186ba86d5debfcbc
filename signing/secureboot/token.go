package secureboot

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/proa-os/proa/regular"
)

const tokenScheme = "pkcs11:"

// tokenTool is OpenSC's program, which speaks PKCS #11 to any module.
const tokenTool = "pkcs11-tool"

// keyName is how errors call a key: a URI may end with a PIN, and a part of it that is
// meant to be something else, too.
func keyName(key string) string {
	if end := strings.IndexAny(key, "?&"); end >= 0 && isTokenURI(key) {
		key = key[:end]
	}
	return fmt.Sprintf("%.200q", key)
}

func isTokenURI(key string) bool { return strings.HasPrefix(key, tokenScheme) }

// token is a key in a token: a smart card, a security module, SoftHSM.
type token struct {
	public    *rsa.PublicKey
	arguments []string // of tokenTool, to find module, token and key
	pin       string
}

// openToken reads a URI (RFC 7512): token, object and id say which key,
// module-path which library speaks to the token, pin-source which file holds the
// PIN, or pin-value the PIN itself.
func openToken(uri string, public crypto.PublicKey) (*token, error) {
	known, ok := public.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("key in a token: want RSA")
	}
	name := keyName(uri)
	attributes, err := parseTokenURI(uri)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", name, err)
	}
	if attributes["module-path"] == "" || attributes["object"] == "" && attributes["id"] == "" {
		return nil, fmt.Errorf("key %s: want object or id, and module-path, as in pkcs11:token=T;object=K?module-path=/usr/lib/M.so", name)
	}
	t := &token{public: known, arguments: []string{"--module", attributes["module-path"]}, pin: attributes["pin-value"]}
	if label := attributes["token"]; label != "" {
		t.arguments = append(t.arguments, "--token-label", label)
	}
	if label := attributes["object"]; label != "" {
		t.arguments = append(t.arguments, "--label", label)
	}
	if id := attributes["id"]; id != "" {
		t.arguments = append(t.arguments, "--id", hex.EncodeToString([]byte(id)))
	}
	if source := attributes["pin-source"]; source != "" {
		pin, err := regular.Read(strings.TrimPrefix(source, "file:"), 1<<10)
		if err != nil {
			return nil, fmt.Errorf("PIN %w", err)
		}
		t.pin = strings.TrimRight(string(pin), "\r\n")
	}
	return t, nil
}

func parseTokenURI(uri string) (map[string]string, error) {
	path, query, _ := strings.Cut(strings.TrimPrefix(uri, tokenScheme), "?")
	parts := strings.Split(path, ";")
	if query != "" {
		parts = append(parts, strings.Split(query, "&")...)
	}
	found := map[string]string{}
	for _, part := range parts {
		if part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		decoded, err := url.PathUnescape(value)
		if !ok || err != nil || strings.ContainsRune(decoded, 0) {
			return nil, fmt.Errorf("attribute %.40q: want NAME=VALUE", name)
		}
		switch name {
		case "token", "object", "id", "module-path", "pin-source", "pin-value":
		case "type":
			if decoded != "private" {
				return nil, fmt.Errorf("type %.80q: want private", decoded)
			}
		default:
			return nil, fmt.Errorf("%.80q: want one of token, object, id, type, module-path, pin-source and pin-value", name)
		}
		if _, twice := found[name]; twice {
			return nil, fmt.Errorf("%s is there twice", name)
		}
		found[name] = decoded
	}
	return found, nil
}

// Public implements crypto.Signer.
func (t *token) Public() crypto.PublicKey { return t.public }

// digestInfo comes before a SHA-256 digest in what RSASSA-PKCS1-v1_5 signs (RFC
// 8017, section 9.2, note 1).
var digestInfo = []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}

// Sign implements crypto.Signer for digests of SHA-256. What the token gives is
// verified.
func (t *token) Sign(_ io.Reader, digest []byte, options crypto.SignerOpts) ([]byte, error) {
	if options.HashFunc() != crypto.SHA256 {
		return nil, fmt.Errorf("key in a token: hash %v: want SHA-256", options.HashFunc())
	}
	folder, err := os.MkdirTemp("", "proa-token-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	input, output := filepath.Join(folder, "digest"), filepath.Join(folder, "signature")
	if err := os.WriteFile(input, append(bytes.Clone(digestInfo), digest...), 0o600); err != nil {
		return nil, err
	}
	arguments := append([]string{"--sign", "--mechanism", "RSA-PKCS", "--input-file", input, "--output-file", output}, t.arguments...)
	cmd := exec.Command(tokenTool, arguments...)
	if t.pin != "" {
		// Not as an argument, which every user of the machine could read.
		cmd.Args = append(cmd.Args, "--login", "--pin", "env:PROA_TOKEN_PIN")
		cmd.Env = append(os.Environ(), "PROA_TOKEN_PIN="+t.pin)
	}
	if text, err := cmd.CombinedOutput(); errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("no %s in $PATH (Debian package opensc)", tokenTool)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w: %.500s", tokenTool, err, bytes.TrimSpace(text))
	}
	signature, err := os.ReadFile(output)
	if err != nil {
		return nil, err
	}
	if err := rsa.VerifyPKCS1v15(t.public, crypto.SHA256, digest, signature); err != nil {
		return nil, fmt.Errorf("%s: the signature is not by the key that the certificate names", tokenTool)
	}
	return signature, nil
}
