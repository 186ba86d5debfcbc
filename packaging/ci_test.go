package packaging

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestGitHubWouldTakeTheWorkflow has actionlint read it, by GitHub's schema.
func TestGitHubWouldTakeTheWorkflow(t *testing.T) {
	command(t, "..", "go", "tool", "-modfile=packaging/tools.mod", "actionlint", "-shellcheck=", "docs/how-to/ci/github.yml")
}

// TestAStoredRepositoryIsTheOldOneOrTheNewOne cuts ci/repository off before each of
// its copies, and has the check before them fail.
func TestAStoredRepositoryIsTheOldOneOrTheNewOne(t *testing.T) {
	for _, c := range []struct {
		name    string
		good    bool // what proa repo check says
		copies  int  // that rsync makes before it fails
		stamp   string
		content bool // the new artifact is there
	}{
		{"a repository that is no good", false, 9, "old", false},
		{"cut before the first copy", true, 0, "old", false},
		{"cut before the metadata", true, 1, "old", true},
		{"cut before the timestamp", true, 2, "old", true},
		{"not cut", true, 3, "new", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			served, job, bin := t.TempDir(), t.TempDir(), t.TempDir()
			write(t, filepath.Join(served, "metadata", "timestamp.json"), "old")
			run := func(what string) error {
				cmd := exec.CommandContext(t.Context(), absolute(t, "../docs/how-to/ci/repository"), what)
				cmd.Dir = job
				cmd.Env = append(os.Environ(), "REPOSITORY="+served, "PATH="+bin+":"+os.Getenv("PATH"))
				return cmd.Run()
			}
			if err := run("open"); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(job, "repo", "metadata", "timestamp.json"), "new")
			write(t, filepath.Join(job, "repo", "artifacts", "root"), "new")

			rsync, err := exec.LookPath("rsync")
			if err != nil {
				t.Fatal(err)
			}
			program(t, filepath.Join(bin, "proa"), fmt.Sprintf("[ \"$*\" = 'repo check --sizes' ] && %t", c.good))
			program(t, filepath.Join(bin, "rsync"), fmt.Sprintf("echo >>%[1]s/made; [ $(wc -l <%[1]s/made) -le %[2]d ] && exec %[3]s \"$@\"", bin, c.copies, rsync))
			if err := run("store"); (err == nil) != (c.stamp == "new") {
				t.Errorf("store ended with %v", err)
			}
			if got := string(readFile(t, filepath.Join(served, "metadata", "timestamp.json"))); got != c.stamp {
				t.Errorf("hosts see the %s repository, want the %s one", got, c.stamp)
			}
			info, err := os.Stat(filepath.Join(served, "artifacts", "root"))
			if (err == nil) != c.content || err == nil && info.Mode().Perm() != 0o644 {
				t.Errorf("the new artifact: %v, %v", info, err)
			}
		})
	}
	if err := exec.Command("../docs/how-to/ci/repository", "stor").Run(); err == nil {
		t.Error("a word that is none was taken")
	}
}

// TestSshGetsTheKeyAndTheHostOfTheJob has ssh itself say what it would use, in a
// container whose HOME is not the home of its user, as GitHub's are.
func TestSshGetsTheKeyAndTheHostOfTheJob(t *testing.T) {
	served, job, bin := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, filepath.Join(served, "metadata", "timestamp.json"), "old")
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatal(err)
	}
	program(t, filepath.Join(bin, "proa"), "")
	program(t, filepath.Join(bin, "ssh"), fmt.Sprintf(`%s -G "$@" >>%s/used || exit; while [ "$1" != www ]; do shift; done; shift; exec "$@"`, ssh, bin))
	for _, what := range []string{"open", "store"} {
		cmd := exec.CommandContext(t.Context(), absolute(t, "../docs/how-to/ci/repository"), what)
		cmd.Dir = job
		cmd.Env = append(os.Environ(), "REPOSITORY=www:"+served, "HOME="+t.TempDir(), "PATH="+bin+":"+os.Getenv("PATH"))
		if what == "open" {
			cmd.Env = append(cmd.Env, "SSH_KEY=the key", "SSH_HOST=the host")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", what, err, out)
		}
		used := string(readFile(t, filepath.Join(bin, "used")))
		for option, want := range map[string]string{"identityfile": "the key\n", "userknownhostsfile": "the host\n"} {
			_, file, _ := strings.Cut("\n"+used, "\n"+option+" ")
			file, _, _ = strings.Cut(file, "\n")
			info, err := os.Stat(filepath.Join(job, file))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: ssh takes %s from %q: %v, %v", what, option, file, info, err)
			} else if got := string(readFile(t, filepath.Join(job, file))); got != want {
				t.Errorf("%s: ssh takes %q as %s, want %q", what, got, option, want)
			}
		}
		if err := os.Remove(filepath.Join(bin, "used")); err != nil {
			t.Fatal(err)
		}
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func program(t *testing.T, file, script string) {
	t.Helper()
	write(t, file, "#!/bin/sh\n"+script+"\n")
	if err := os.Chmod(file, 0o755); err != nil {
		t.Fatal(err)
	}
}
