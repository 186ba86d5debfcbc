package debian

import (
	"errors"
	"os"
	"path/filepath"
)

// CheckoutDir is the folder .build beside the go.mod of the module that the
// working directory is in: where tests and make keep their roots.
func CheckoutDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, ".build"), nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = parent
	}
}
