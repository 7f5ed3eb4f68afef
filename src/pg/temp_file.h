// A temporary file of the backend: written once from the front, read any number of times. It counts against
// temp_file_limit, and the server removes it when the transaction ends, also by an error, and at the restart after a
// crash. Plain data: whoever leaves by an error needs no destructor to run.
#pragma once

#include "pg/pg.h"

namespace vecann {

class TempFile {
  public:
    // The buffer of 8 kB lives in the current memory context.
    void Create() {
        PrepareTempTablespaces();
        file_ = BufFileCreateTemp(false);
        size_ = 0;
    }
    bool IsOpen() const { return file_ != nullptr; }
    void Write(const void* bytes, size_t size) {
        WriteTempFile(file_, bytes, size);
        size_ += size;
    }
    void Seek(uint64 offset) {
        if (BufFileSeek(file_, 0, static_cast<off_t>(offset), SEEK_SET) != 0)
            ereport(ERROR, (errcode_for_file_access(), errmsg("could not seek in a temporary file: %m")));
    }
    void Rewind() { Seek(0); }
    uint64 Size() const { return size_; }
    void Read(void* bytes, size_t size) {
        const size_t read = BufFileRead(file_, bytes, size);
        if (read != size)
            ereport(ERROR, (errcode_for_file_access(),
                            errmsg("could not read from a temporary file: read only %zu of %zu bytes", read, size)));
    }
    template <class T>
    void Put(const T& value) {
        static_assert(std::is_trivially_copyable_v<T>);
        Write(&value, sizeof(T));
    }
    template <class T>
    T Get() {
        static_assert(std::is_trivially_copyable_v<T>);
        T value;
        Read(&value, sizeof(T));
        return value;
    }
    void Close() {
        if (file_ != nullptr) BufFileClose(file_);
        file_ = nullptr;
    }

  private:
    BufFile* file_;
    uint64 size_;  // of what was written
};
static_assert(std::is_trivially_copyable_v<TempFile>);

}  // namespace vecann
