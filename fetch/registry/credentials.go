package registry

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/proa-os/proa/regular"
)

const credentialsMost = 256 << 10 // bytes

// credential is a name and a password.
type credential struct{ user, password string }

// readCredential finds what is for a repository in a file like docker's
// config.json: "auths" of hosts, or of hosts and the beginning of names, as
// containers-auth.json(5) has it; the longest one that fits wins. It is nil when
// there is no file or nothing that fits. Programs that would be asked
// (credHelpers, credsStore) are not run.
func readCredential(path string, ref Reference) (*credential, error) {
	text, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	found, err := findCredential(text, ref)
	if err != nil {
		return nil, fmt.Errorf("credentials: %s: %w", path, err)
	}
	return found, nil
}

// readPrivate reads a file that others may not read.
func readPrivate(path string) ([]byte, error) {
	if path == "" {
		return nil, fs.ErrNotExist
	}
	file, info, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	file.Close()
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return nil, fmt.Errorf("%s has mode %#o: others can get at it, want 0600", path, mode)
	}
	return regular.Read(path, credentialsMost)
}

func findCredential(text []byte, ref Reference) (*credential, error) {
	var config struct {
		Auths map[string]struct {
			Auth     string `json:"auth"`
			Username string `json:"username"`
			Password string `json:"password"`
		} `json:"auths"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		// The error may quote what is secret.
		return nil, errors.New("want JSON like docker's config.json")
	}
	best := ""
	for key := range config.Auths {
		if fits(key, ref) && len(normal(key)) > len(normal(best)) {
			best = key
		}
	}
	if best == "" {
		return nil, nil
	}
	entry := config.Auths[best]
	if entry.Auth == "" {
		if entry.Username == "" {
			return nil, fmt.Errorf("%.200q has neither auth nor username and password", best)
		}
		return &credential{entry.Username, entry.Password}, nil
	}
	decoded, err := base64.StdEncoding.DecodeString(entry.Auth)
	user, password, ok := strings.Cut(string(decoded), ":")
	if err != nil || !ok {
		return nil, fmt.Errorf("auth of %.200q: want name:password in base64", best)
	}
	return &credential{user, strings.Trim(password, "\x00")}, nil
}

// normal is a key without what older versions of docker put around the host.
func normal(key string) string {
	for _, prefix := range []string{"https://", "http://"} {
		key = strings.TrimPrefix(key, prefix)
	}
	for _, suffix := range []string{"/", "/v1", "/v2"} {
		key = strings.TrimSuffix(key, suffix)
	}
	if rest, ok := strings.CutPrefix(key, "index.docker.io"); ok {
		return "docker.io" + rest
	}
	return key
}

func fits(key string, ref Reference) bool {
	key, whole := normal(key), normal(ref.Host)+"/"+ref.Name
	return whole == key || strings.HasPrefix(whole, key+"/")
}
