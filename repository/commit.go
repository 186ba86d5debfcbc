package repository

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

// commit adds the given targets, signs, and makes it all visible to hosts at
// once. The order of writes: targets, then metadata from targets to snapshot,
// each under a name that nothing refers to yet; then two clients, one that is
// new and one that trusted the old set, must accept the result; timestamp.json
// is last.
func (r *repository) commit(ctx context.Context, targets map[string][]byte) error {
	previous, err := r.hostState()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		content := targets[name]
		if err := r.meta.SetTarget(name, content); err != nil {
			return err
		}
		digest := manifests.DigestOf(content)
		if err := r.write(signing.TargetPath(name, digest[:]), content); err != nil {
			return err
		}
	}
	files, err := r.meta.Sign(r.Now(), r.Lifetimes, r.Keys)
	if err != nil {
		return err
	}
	timestamp := files[len(files)-1]
	for _, file := range files[:len(files)-1] {
		if err := r.write(metadataFolder+"/"+file.Name, file.Content); err != nil {
			return err
		}
	}
	root, err := os.ReadFile(filepath.Join(r.Dir, metadataFolder, fmt.Sprintf("%d.root.json", r.meta.Version(signing.RoleRoot))))
	if err != nil {
		return err
	}
	if err := r.write(metadataFolder+"/"+rootCopyFile, root); err != nil {
		return err
	}
	for _, state := range []map[string][]byte{nil, previous} {
		if err := r.tryAsHost(ctx, state, timestamp.Content, targets); err != nil {
			return fmt.Errorf("a host would refuse what was signed: %w", err)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.write(metadataFolder+"/"+timestampFile, timestamp.Content)
}

// write puts one file under the repository in one durable step, unless it is
// there.
func (r *repository) write(name string, content []byte) error {
	path := filepath.Join(r.Dir, filepath.FromSlash(name))
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return durable.SyncFolder(filepath.Dir(path)) // whoever wrote it may have been killed before that
	}
	if err := durable.MakeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	return durable.WriteFile(path, content, 0o644)
}

// hostState is the trusted folder of a host that is up to date with what is
// published now; nil when nothing is.
func (r *repository) hostState() (map[string][]byte, error) {
	state := map[string][]byte{}
	for _, role := range signing.Roles() {
		version := r.meta.Version(role)
		if version == 0 {
			return nil, nil
		}
		name := fmt.Sprintf("%d.%s.json", version, role)
		if role == signing.RoleTimestamp {
			name = timestampFile
		}
		content, err := os.ReadFile(filepath.Join(r.Dir, metadataFolder, name))
		if err != nil {
			return nil, err
		}
		state[string(role)+".json"] = content
	}
	return state, nil
}

// tryAsHost refreshes a real client against the folder as it will be with the
// given timestamp, and fetches and parses the given targets.
func (r *repository) tryAsHost(ctx context.Context, state map[string][]byte, timestamp []byte, targets map[string][]byte) error {
	folder, err := durable.TempFolder(filepath.Join(r.Dir, artifactsFolder))
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	for name, content := range state {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			return err
		}
	}
	firstRoot, err := os.ReadFile(filepath.Join(r.Dir, metadataFolder, "1.root.json"))
	if err != nil {
		return err
	}
	client, err := signing.OpenClient(signing.Config{
		URL:  "http://repository.invalid",
		Dir:  folder,
		Root: firstRoot,
		HTTP: &http.Client{Transport: staged{http.NewFileTransportFS(os.DirFS(r.Dir)), timestamp}},
		Now:  r.Now,
	})
	if err != nil {
		return err
	}
	if err := client.Refresh(ctx); err != nil {
		return err
	}
	for name, want := range targets {
		got, err := client.Fetch(ctx, name)
		if err != nil {
			return err
		}
		if !bytes.Equal(got.Bytes(), want) {
			return fmt.Errorf("target %s comes back changed", name)
		}
	}
	return nil
}

// staged serves the repository's folder as it will be after the commit.
type staged struct {
	folder    http.RoundTripper
	timestamp []byte
}

func (s staged) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Path != "/"+metadataFolder+"/"+timestampFile {
		return s.folder.RoundTrip(request)
	}
	return &http.Response{
		Status:        "200 OK",
		StatusCode:    http.StatusOK,
		ContentLength: int64(len(s.timestamp)),
		Body:          io.NopCloser(bytes.NewReader(s.timestamp)),
		Header:        http.Header{},
		Request:       request,
	}, nil
}
