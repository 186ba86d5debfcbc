// Package token signs with keys in tokens that speak PKCS #11: smart cards,
// security modules, SoftHSM. Open reads a key's URI, Sign has the token sign; the
// private key never leaves it.
package token

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/proa-os/proa/regular"
)

const scheme = "pkcs11:"

// Tool is OpenSC's program, which speaks PKCS #11 to any module.
const Tool = "pkcs11-tool"

// Name is how errors call a key: a URI may end with a PIN, and a part of it that is
// meant to be something else, too.
func Name(key string) string {
	if end := strings.IndexAny(key, "?&"); end >= 0 && IsURI(key) {
		key = key[:end]
	}
	return fmt.Sprintf("%.200q", key)
}

// IsURI reports whether key is the URI of a key in a token, not the name of a file.
func IsURI(key string) bool { return strings.HasPrefix(key, scheme) }

// Key is a key in a token.
type Key struct {
	arguments []string // of Tool, to find module, token and key
	pin       string
}

// Open reads a URI (RFC 7512): token, object and id say which key, module-path
// which library speaks to the token, pin-source which file holds the PIN, or
// pin-value the PIN itself. It does not speak to the token.
func Open(uri string) (*Key, error) {
	name := Name(uri)
	attributes, err := parseURI(uri)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", name, err)
	}
	if attributes["module-path"] == "" || attributes["object"] == "" && attributes["id"] == "" {
		return nil, fmt.Errorf("key %s: want object or id, and module-path, as in pkcs11:token=T;object=K?module-path=/usr/lib/M.so", name)
	}
	k := &Key{arguments: []string{"--module", attributes["module-path"]}, pin: attributes["pin-value"]}
	if label := attributes["token"]; label != "" {
		k.arguments = append(k.arguments, "--token-label", label)
	}
	if label := attributes["object"]; label != "" {
		k.arguments = append(k.arguments, "--label", label)
	}
	if id := attributes["id"]; id != "" {
		k.arguments = append(k.arguments, "--id", hex.EncodeToString([]byte(id)))
	}
	if source := attributes["pin-source"]; source != "" {
		pin, err := regular.Read(strings.TrimPrefix(source, "file:"), 1<<10)
		if err != nil {
			return nil, fmt.Errorf("PIN %w", err)
		}
		k.pin = strings.TrimRight(string(pin), "\r\n")
	}
	return k, nil
}

func parseURI(uri string) (map[string]string, error) {
	path, query, _ := strings.Cut(strings.TrimPrefix(uri, scheme), "?")
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

// Sign has the token sign input with a mechanism, as Tool names them. The caller
// verifies what it gives.
func (k *Key) Sign(mechanism string, input []byte) ([]byte, error) {
	folder, err := os.MkdirTemp("", "proa-token-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	in, out := filepath.Join(folder, "input"), filepath.Join(folder, "signature")
	if err := os.WriteFile(in, input, 0o600); err != nil {
		return nil, err
	}
	arguments := append([]string{"--sign", "--mechanism", mechanism, "--input-file", in, "--output-file", out}, k.arguments...)
	cmd := exec.Command(Tool, arguments...)
	if k.pin != "" {
		// Not as an argument, which every user of the machine could read.
		cmd.Args = append(cmd.Args, "--login", "--pin", "env:PROA_TOKEN_PIN")
		cmd.Env = append(os.Environ(), "PROA_TOKEN_PIN="+k.pin)
	}
	if text, err := cmd.CombinedOutput(); errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("no %s in $PATH (Debian package opensc)", Tool)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w: %.500s", Tool, err, bytes.TrimSpace(text))
	}
	return os.ReadFile(out)
}
