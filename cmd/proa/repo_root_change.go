package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/proa-os/proa/signing"
)

// parseRootChange reads the flags of 'proa repo root init', but for the keys to
// add, which it does not open.
func parseRootChange(add, remove, thresholds []string, expires string, now time.Time) (signing.RootChange, error) {
	change := signing.RootChange{Remove: map[signing.Role][]string{}, Threshold: map[signing.Role]int{}}
	for _, text := range add {
		if _, _, err := cutRole(text); err != nil {
			return change, fmt.Errorf("--add-key: %w", err)
		}
	}
	for _, text := range remove {
		role, id, err := cutRole(text)
		if err == nil && strings.HasSuffix(id, signing.PublicKeyEnding) {
			var key signing.PublicKey
			key, err = signing.ReadPublicKeyFile(id)
			id = key.ID()
		}
		if err != nil {
			return change, fmt.Errorf("--remove-key: %w", err)
		}
		change.Remove[role] = append(change.Remove[role], id)
	}
	for _, text := range thresholds {
		role, number, err := cutRole(text)
		if err != nil {
			return change, fmt.Errorf("--threshold: %w", err)
		}
		n, err := strconv.Atoi(number)
		if _, twice := change.Threshold[role]; err != nil || n < 1 || twice {
			return change, fmt.Errorf("--threshold %.80q: want ROLE=N, N from 1 on, once for a role", text)
		}
		change.Threshold[role] = n
	}
	change.Expires = now.Add(signing.DefaultLifetimes()[signing.RoleRoot])
	if expires != "" {
		var err error
		if change.Expires, err = time.Parse(time.DateOnly, expires); err != nil {
			return change, fmt.Errorf("--expires %.80q: want a date such as 2027-06-30", expires)
		}
	}
	return change, nil
}

// readAddedKeys reads the keys that --add-key names.
func readAddedKeys(add []string) (map[signing.Role][]signing.PublicKey, error) {
	keys := map[signing.Role][]signing.PublicKey{}
	for _, text := range add {
		role, path, err := cutRole(text)
		if err != nil {
			return nil, err
		}
		if !strings.HasSuffix(path, signing.PublicKeyEnding) {
			return nil, fmt.Errorf("key %s: want a public key, a file ending in %s", path, signing.PublicKeyEnding)
		}
		key, err := signing.ReadPublicKeyFile(path)
		if err != nil {
			return nil, err
		}
		keys[role] = append(keys[role], key)
	}
	return keys, nil
}

func cutRole(text string) (signing.Role, string, error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok || value == "" {
		return "", "", fmt.Errorf("%.80q: want ROLE=… with root, targets, snapshot or timestamp", text)
	}
	role, err := signing.ParseRole(name)
	if err != nil {
		return "", "", err
	}
	return role, value, nil
}
