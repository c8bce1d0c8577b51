package logs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// cursor is how far a container's output was sent: all that was read up to the position has arrived, or is in the
// assembler. It is written after each batch and replaced by a rename, not synced: a cursor that a power cut takes back
// repeats some lines, and a sync for each batch would cost more than the batch.
type cursor struct {
	Position position  `json:"position"`
	Pending  assembler `json:"pending,omitzero"`
}

// loadCursor reads the cursor; known is false if there is none.
func loadCursor(path string) (c cursor, known bool, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, err
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return cursor{}, false, err
	}
	return c, true, nil
}

func (c cursor) save(path string) error {
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("save log cursor: %w", err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("save log cursor: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("save log cursor: %w", err)
	}
	return nil
}
