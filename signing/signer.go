package signing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/proa-os/proa/manifests/strictyaml"
	"github.com/proa-os/proa/signing/token"
)

// SignerEnding is that of a file that says where a private key is, in place of
// holding it.
const SignerEnding = ".signer"

// signerFile is its content, YAML: one of the two.
type signerFile struct {
	PKCS11  string   `yaml:"pkcs11"`  // URI of a key in a token
	Command []string `yaml:"command"` // program and arguments
}

// commandTime is how long a command may take: somebody may have to touch a key.
const commandTime = 5 * time.Minute

// signatureMost bounds what a command gives, in bytes.
const signatureMost = 4 << 10

// readSigner opens a key that is elsewhere. Its public half is beside the file.
func readSigner(path string, content []byte, public PublicKey) (PrivateKey, error) {
	var file signerFile
	if err := strictyaml.Decode(path, content, &file).Err(); err != nil {
		return PrivateKey{}, err
	}
	if (file.PKCS11 == "") == (len(file.Command) == 0) {
		return PrivateKey{}, fmt.Errorf("key file %s: want either pkcs11: URI or command: [PROGRAM, ARGUMENT, …]", path)
	}
	if file.PKCS11 == "" {
		return PrivateKey{public: public, remote: func(payload []byte) ([]byte, error) {
			return runSigner(file.Command, public, payload)
		}}, nil
	}
	if !token.IsURI(file.PKCS11) {
		return PrivateKey{}, fmt.Errorf("key file %s: pkcs11: want a URI that begins with pkcs11:", path)
	}
	key, err := token.Open(file.PKCS11)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("key file %s: %w", path, err)
	}
	return PrivateKey{public: public, remote: func(payload []byte) ([]byte, error) { return key.Sign("EDDSA", payload) }}, nil
}

// runSigner has a command sign: it reads the payload from its standard input and
// writes the 64 bytes of an ed25519 signature (RFC 8032) to its standard output.
func runSigner(command []string, public PublicKey, payload []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), commandTime, fmt.Errorf("no signature within %s", commandTime))
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.WaitDelay = time.Second // for what it left behind and holds its output
	cmd.Env = append(os.Environ(), "PROA_KEY_ID="+public.id)
	var output, complaint bounded
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(payload), &output, &complaint
	err := cmd.Run()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err != nil {
		return nil, fmt.Errorf("command %s: %w: %.500s", filepath.Base(command[0]), err, bytes.TrimSpace(complaint.kept))
	}
	return output.kept, nil
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ kept []byte }

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	b.kept = append(b.kept, p[:min(len(p), signatureMost-len(b.kept))]...)
	return len(p), nil
}

// errForeignSignature: what was asked to sign has not, or is another key.
var errForeignSignature = errors.New("the signature is not by the key whose public half is known")
