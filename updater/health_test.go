package updater

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/progress"
)

// The last words before the time is up may be none: the reason that people read
// then is what the check said before.
func TestTheReasonIsOfAnAttemptThatEnded(t *testing.T) {
	dir := t.TempDir()
	check := "#!/bin/sh\ncd " + dir + "\nif test -e once; then sleep 20; fi\ntouch once\necho no route to the gateway\nexit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "10-gateway"), []byte(check), 0o755); err != nil {
		t.Fatal(err)
	}
	s := &session{
		Updater: &Updater{Config: Config{
			Settings: Settings{HealthTimeout: Duration(time.Minute), HealthLimit: Duration(3 * time.Second)},
			Progress: progress.Silent(),
			Host:     Host{HealthDirs: []string{dir}},
		}},
	}
	err := s.runHealthChecks(t.Context())
	if err == nil || !strings.HasSuffix(err.Error(), "10-gateway: no route to the gateway") {
		t.Errorf("got error %v", err)
	}
}
