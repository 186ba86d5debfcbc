package builder

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
)

// ownSource is the name under which the build's own files stand in messages.
const ownSource = "proa"

const unitFolder = "usr/lib/systemd/system"

// completeTree adds what every image has: the folders that file systems are
// mounted on, the release's identity and, where the recipe asks for updates,
// the agent.
func (b *build) completeTree(context.Context) error {
	for _, dir := range []struct {
		path string
		mode uint32
	}{
		{"dev", 0o755}, {"etc", 0o755}, {"proc", 0o555}, {"run", 0o755}, {"sys", 0o555}, {"tmp", 0o1777}, {"var", 0o755},
	} {
		if _, ok := b.tree.Resolve(dir.path); ok {
			continue
		}
		if err := b.tree.Put(dir.path, &tree.Node{Kind: tree.Directory, Mode: dir.mode, Source: ownSource}); err != nil {
			return err
		}
	}
	if err := b.checkEncryption(); err != nil {
		return err
	}
	identity, err := json.MarshalIndent(manifests.Image{
		Schema:        1,
		Product:       b.Recipe.Product,
		Version:       b.Version,
		Arch:          b.Arch,
		Epoch:         b.Epoch,
		SecurityEpoch: b.Recipe.SecurityEpoch,
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := b.putFile(manifests.ImagePath, append(identity, '\n'), 0o644); err != nil {
		return err
	}
	if b.Recipe.Update == nil {
		return nil
	}
	return b.addAgent()
}

func (b *build) addAgent() error {
	trustRoot, err := b.readTrustRoot()
	if err != nil {
		return fmt.Errorf("update.root: %w", err)
	}
	config, err := b.agentConfig()
	if err != nil {
		return err
	}
	files := []struct {
		path    string
		content []byte
		mode    uint32
	}{
		{manifests.AgentPath, b.Agent.Program, 0o755},
		{manifests.AgentConfigPath, config, 0o644},
		{manifests.TrustRootPath, trustRoot, 0o644},
	}
	for _, file := range files {
		if err := b.putFile(file.path, file.content, file.mode); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Agent.Units)) {
		if err := b.putFile(path.Join(unitFolder, name), b.Agent.Units[name], 0o644); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Agent.Files)) {
		if err := b.putFile(strings.TrimPrefix(name, "/"), b.Agent.Files[name], 0o644); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Agent.Links)) {
		link := &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: b.Agent.Links[name], Source: ownSource}
		if err := b.tree.Put(path.Join(unitFolder, name), link); err != nil {
			return err
		}
	}
	return nil
}

// agentConfig is what the agent is told by the release; /etc/proa/agent.yaml on
// a host adds to it. The list of checks is JSON, which is YAML, too.
func (b *build) agentConfig() ([]byte, error) {
	config := fmt.Appendf(nil, "repository: %q\nchannel: %q\n", b.Recipe.Update.Repository, b.Recipe.Update.Channel)
	if len(b.Recipe.Health) == 0 {
		return config, nil
	}
	config = append(config, "health:\n"...)
	for _, check := range b.Recipe.Health {
		line, err := json.Marshal(check)
		if err != nil {
			return nil, err
		}
		config = fmt.Appendf(config, "  - %s\n", line)
	}
	return config, nil
}

func (b *build) putFile(path string, content []byte, mode uint32) error {
	return b.tree.Put(path, &tree.Node{
		Kind:    tree.File,
		Mode:    mode,
		Source:  ownSource,
		Content: tree.Content{At: bytes.NewReader(content), Size: int64(len(content))},
	})
}
