package stick

import "bytes"

// Index is the files of a tar file.
func Index(content []byte) (map[string][]byte, error) {
	entries, err := index(bytes.NewReader(content), int64(len(content)))
	files := map[string][]byte{}
	for name, e := range entries {
		files[name] = content[e.offset : e.offset+e.size]
	}
	return files, err
}
