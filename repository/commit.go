package repository

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

// commit adds the given targets, signs, and makes it all visible to hosts at
// once. Two clients, one that is new and one that trusted the old set, must
// accept what is signed. The order of writes: targets; metadata of targets and
// snapshot, under names that nothing refers to yet; timestamp.json, from which on
// hosts see them; and a new root, which they see by itself.
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
	for _, state := range []map[string][]byte{nil, previous} {
		if err := r.tryAsHost(ctx, state, files, targets); err != nil {
			return fmt.Errorf("a host would refuse what was signed: %w", err)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, file := range files {
		if err := r.write(metadataFolder+"/"+file.Name, file.Content); err != nil {
			return err
		}
		if strings.HasSuffix(file.Name, ".root.json") {
			if err := r.copyRoot(); err != nil {
				return err
			}
		}
	}
	return r.copyRoot() // an earlier command may have been killed before it
}

// copyRoot makes root.json a copy of the newest root.
func (r *repository) copyRoot() error {
	root, err := signing.NewestRoot(os.DirFS(filepath.Join(r.Dir, metadataFolder)))
	if err != nil {
		return err
	}
	return r.write(metadataFolder+"/"+rootCopyFile, root)
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
	if r.meta.Version(signing.RoleTimestamp) == 0 {
		return nil, nil
	}
	metadata := os.DirFS(filepath.Join(r.Dir, metadataFolder))
	root, err := signing.NewestRoot(metadata)
	if err != nil {
		return nil, err
	}
	state := map[string][]byte{"root.json": root}
	for _, role := range []signing.Role{signing.RoleTimestamp, signing.RoleSnapshot, signing.RoleTargets} {
		name := fmt.Sprintf("%d.%s.json", r.meta.Version(role), role)
		if role == signing.RoleTimestamp {
			name = timestampFile
		}
		content, err := fs.ReadFile(metadata, name)
		if err != nil {
			return nil, err
		}
		state[string(role)+".json"] = content
	}
	return state, nil
}

// tryAsHost refreshes a real client against the folder as it will be with the
// given metadata, and fetches the given targets.
func (r *repository) tryAsHost(ctx context.Context, state map[string][]byte, metadata []signing.File, targets map[string][]byte) error {
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
	transport := staged{http.NewFileTransportFS(os.DirFS(r.Dir)), map[string][]byte{}}
	for _, file := range metadata {
		transport.files["/"+metadataFolder+"/"+file.Name] = file.Content
	}
	firstRoot, err := transport.firstRoot(r.Dir)
	if err != nil {
		return err
	}
	client, err := signing.OpenClient(signing.Config{
		URL:  "http://repository.invalid",
		Dir:  folder,
		Root: firstRoot,
		HTTP: &http.Client{Transport: transport},
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
	folder http.RoundTripper
	files  map[string][]byte // what will be written, by its path in URLs
}

// firstRoot is what a host may have been installed with.
func (s staged) firstRoot(dir string) ([]byte, error) {
	const name = metadataFolder + "/1.root.json"
	if content, ok := s.files["/"+name]; ok {
		return content, nil
	}
	return os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
}

func (s staged) RoundTrip(request *http.Request) (*http.Response, error) {
	content, ok := s.files[request.URL.Path]
	if !ok {
		return s.folder.RoundTrip(request)
	}
	return &http.Response{
		Status:        "200 OK",
		StatusCode:    http.StatusOK,
		ContentLength: int64(len(content)),
		Body:          io.NopCloser(bytes.NewReader(content)),
		Header:        http.Header{},
		Request:       request,
	}, nil
}
