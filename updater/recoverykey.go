package updater

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/regular"
)

// ErrNoRecoveryKey says that no recovery key of /var is kept on this host.
var ErrNoRecoveryKey = errors.New("no recovery key is kept here: /var is not encrypted, or the key was forgotten")

// ReadRecoveryKey is the key that opens the encrypted /var without the TPM, as
// proa-init left it when it encrypted it.
func (h Host) ReadRecoveryKey() (string, error) {
	const most = 1 << 10
	text, err := regular.Read(h.RecoveryKey, most)
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNoRecoveryKey
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(text)), nil
}

// ForgetRecoveryKey removes the key from the host. It goes on opening /var for
// whoever has it.
func (h Host) ForgetRecoveryKey() error {
	err := os.Remove(h.RecoveryKey)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoRecoveryKey
	}
	if err != nil {
		return fmt.Errorf("forgetting the recovery key: %w", err)
	}
	return durable.SyncFolder(filepath.Dir(h.RecoveryKey))
}
