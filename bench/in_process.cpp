// An index of hnswlib or FAISS in one process, without a server: what the index itself can do on the same data.
//
// usage: in_process hnswlib|faiss BASE QUERIES LIMITS DIM METRIC THREADS M EF_CONSTRUCTION
//        in_process faiss-ivf     BASE QUERIES LIMITS DIM METRIC THREADS LISTS SUBQUANTIZERS K_FACTOR
//   BASE, QUERIES   raw float32 vectors; under METRIC cosine they are normalised here and compared by L2
//   LIMITS          raw float64, one per query: squared distance up to which a row counts as one of the 10 nearest
//   faiss-ivf       inverted lists of 4-bit codes, 32 scanned at a time; the nearest 10 K_FACTOR are measured exactly
// It builds with THREADS threads and prints a line of JSON; then it answers commands from standard input, each with a
// line of JSON, until the input ends: "recall EFFORT" (all queries), "speed EFFORT SECONDS" (one thread, queries in a
// row). Effort is ef, or the number of lists that are read.
// Distances that decide on recall are computed here in double, not taken from the library.
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVFPQFastScan.h>
#include <faiss/IndexRefine.h>
#include <faiss/index_factory.h>
#include <faiss/utils/utils.h>
#include <hnswlib/hnswlib.h>
#include <omp.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr int kNearest = 10;

double Now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Data {
    size_t dim = 0;
    int threads = 1;
    std::vector<int> options;  // of the index: see the usage
    std::vector<float> base;
    std::vector<float> queries;
    std::vector<double> limits;
    size_t BaseRows() const { return base.size() / dim; }
    size_t QueryRows() const { return queries.size() / dim; }
    const float* Query(size_t i) const { return &queries[i * dim]; }
};

template <typename T>
std::vector<T> ReadFile(const char* path) {
    std::ifstream in(path, std::ios::binary | std::ios::ate);
    if (!in) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    std::vector<T> out(static_cast<size_t>(in.tellg()) / sizeof(T));
    in.seekg(0);
    in.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size() * sizeof(T)));
    return out;
}

void Normalise(std::vector<float>& vectors, size_t dim) {
    for (size_t start = 0; start < vectors.size(); start += dim) {
        double sum = 0;
        for (size_t i = 0; i < dim; i++)
            sum += double{vectors[start + i]} * vectors[start + i];
        for (size_t i = 0; i < dim; i++)
            vectors[start + i] = static_cast<float>(vectors[start + i] / std::sqrt(sum));
    }
}

class Index {
  public:
    virtual ~Index() = default;
    virtual void Build(const Data& data) = 0;
    // the ids of the nearest to one query; fewer than kNearest when the library finds no more
    virtual void Search(const float* query, int effort, std::vector<int64_t>& ids) = 0;
    virtual size_t Bytes() const = 0;
    virtual std::string What() const = 0;
};

class HnswlibGraph : public Index {
  public:
    void Build(const Data& data) override {
        space_ = std::make_unique<hnswlib::L2Space>(data.dim);
        graph_ = std::make_unique<hnswlib::HierarchicalNSW<float>>(space_.get(), data.BaseRows(), data.options[0],
                                                                   data.options[1]);
        graph_->addPoint(data.base.data(), 0);
#pragma omp parallel for schedule(dynamic, 64) num_threads(data.threads)
        for (size_t i = 1; i < data.BaseRows(); i++)
            graph_->addPoint(&data.base[i * data.dim], i);
    }

    void Search(const float* query, int ef, std::vector<int64_t>& ids) override {
        graph_->setEf(static_cast<size_t>(ef));
        auto found = graph_->searchKnn(query, kNearest);
        ids.clear();
        for (; !found.empty(); found.pop())
            ids.push_back(static_cast<int64_t>(found.top().second));
    }

    size_t Bytes() const override {
        return graph_->indexFileSize();
    }

    std::string What() const override {
        return "HNSW";
    }

  private:
    std::unique_ptr<hnswlib::L2Space> space_;
    std::unique_ptr<hnswlib::HierarchicalNSW<float>> graph_;
};

class FaissGraph : public Index {
  public:
    void Build(const Data& data) override {
        graph_ = std::make_unique<faiss::IndexHNSWFlat>(static_cast<int>(data.dim), data.options[0]);
        graph_->hnsw.efConstruction = data.options[1];
        graph_->add(static_cast<faiss::idx_t>(data.BaseRows()), data.base.data());
        bytes_ = data.base.size() * sizeof(float) + graph_->hnsw.neighbors.size() * sizeof(graph_->hnsw.neighbors[0]) +
                 graph_->hnsw.offsets.size() * sizeof(graph_->hnsw.offsets[0]);
    }

    void Search(const float* query, int ef, std::vector<int64_t>& ids) override {
        float distances[kNearest];
        faiss::idx_t labels[kNearest];
        graph_->hnsw.efSearch = ef;
        graph_->search(1, query, kNearest, distances, labels);
        ids.assign(labels, labels + kNearest);
    }

    size_t Bytes() const override { return bytes_; }

    std::string What() const override { return "HNSW"; }

  private:
    std::unique_ptr<faiss::IndexHNSWFlat> graph_;
    size_t bytes_ = 0;
};

// The vectors that the last step reads are not counted as part of the index: a server has them in its table.
class FaissLists : public Index {
  public:
    void Build(const Data& data) override {
        const auto rows = static_cast<faiss::idx_t>(data.BaseRows());
        const std::string codes =
            "IVF" + std::to_string(data.options[0]) + ",PQ" + std::to_string(data.options[1]) + "x4fs";
        lists_.reset(
            dynamic_cast<faiss::IndexIVFPQFastScan*>(faiss::index_factory(static_cast<int>(data.dim), codes.c_str())));
        what_ = codes + ",RFlat, FAISS built with " + faiss::get_compile_options();
        lists_->train(rows, data.base.data());
        refined_ = std::make_unique<faiss::IndexRefineFlat>(lists_.get());
        refined_->k_factor = static_cast<float>(data.options[2]);
        refined_->add(rows, data.base.data());
        bytes_ = data.BaseRows() * (lists_->code_size + sizeof(faiss::idx_t)) +
                 (lists_->nlist * data.dim + lists_->pq.centroids.size()) * sizeof(float);
    }

    void Search(const float* query, int probes, std::vector<int64_t>& ids) override {
        float distances[kNearest];
        faiss::idx_t labels[kNearest];
        lists_->nprobe = static_cast<size_t>(probes);
        refined_->search(1, query, kNearest, distances, labels);
        ids.assign(labels, labels + kNearest);
    }

    size_t Bytes() const override { return bytes_; }

    std::string What() const override { return what_; }

  private:
    std::unique_ptr<faiss::IndexIVFPQFastScan> lists_;
    std::unique_ptr<faiss::IndexRefineFlat> refined_;
    std::string what_;
    size_t bytes_ = 0;
};

double SquaredDistance(const float* a, const float* b, size_t dim) {
    double sum = 0;
    for (size_t i = 0; i < dim; i++)
        sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    return sum;
}

// A vector that was normalised in float32 lies off its place by a rounding error: under cosine the limit gets that
// much.
double RecallAt(Index& index, const Data& data, int effort, double slack) {
    size_t hits = 0;
    std::vector<int64_t> ids;
    for (size_t q = 0; q < data.QueryRows(); q++) {
        index.Search(data.Query(q), effort, ids);
        for (int64_t id : ids) {
            if (id < 0) continue;
            double d = SquaredDistance(&data.base[static_cast<size_t>(id) * data.dim], data.Query(q), data.dim);
            if (d <= data.limits[q] + slack) hits++;
        }
    }
    return static_cast<double>(hits) / static_cast<double>(kNearest * data.QueryRows());
}

double SpeedAt(Index& index, const Data& data, int effort, double seconds) {
    std::vector<int64_t> ids;
    size_t count = 0;
    double started = Now();
    double now = started;
    for (; now - started < seconds; now = Now(), count++)
        index.Search(data.Query(count % data.QueryRows()), effort, ids);
    return static_cast<double>(count) / (now - started);
}

// Ends with the input.
void Answer(Index& index, const Data& data, double slack) {
    std::string line;
    while (std::getline(std::cin, line)) {
        std::istringstream words(line);
        std::string command;
        int effort = 0;
        double seconds = 1;
        words >> command >> effort;
        if (command == "recall") {
            printf("{\"effort\": %d, \"recall\": %.6f}\n", effort, RecallAt(index, data, effort, slack));
        } else {
            words >> seconds;
            printf("{\"effort\": %d, \"qps\": %.3f}\n", effort, SpeedAt(index, data, effort, seconds));
        }
        fflush(stdout);
    }
}

std::unique_ptr<Index> Make(const std::string& kind) {
    if (kind == "faiss-ivf") return std::make_unique<FaissLists>();
    if (kind == "faiss") return std::make_unique<FaissGraph>();
    return std::make_unique<HnswlibGraph>();
}

}  // namespace

int main(int argc, char** argv) {
    const std::string kind = argc > 1 ? argv[1] : "";
    if (argc != (kind == "faiss-ivf" ? 11 : 10)) {
        fprintf(stderr,
                "usage: in_process hnswlib|faiss BASE QUERIES LIMITS DIM METRIC THREADS M EF_CONSTRUCTION\n"
                "       in_process faiss-ivf BASE QUERIES LIMITS DIM METRIC THREADS LISTS SUBQUANTIZERS "
                "K_FACTOR\n");
        return 1;
    }
    Data data;
    bool cosine = std::string(argv[6]) == "cosine";
    data.base = ReadFile<float>(argv[2]);
    data.queries = ReadFile<float>(argv[3]);
    data.limits = ReadFile<double>(argv[4]);
    data.dim = std::stoul(argv[5]);
    data.threads = std::stoi(argv[7]);
    for (int i = 8; i < argc; i++)
        data.options.push_back(std::stoi(argv[i]));
    if (cosine) {
        Normalise(data.base, data.dim);
        Normalise(data.queries, data.dim);
    }
    std::unique_ptr<Index> index = Make(kind);
    omp_set_num_threads(data.threads);
    double started = Now();
    index->Build(data);
    printf("{\"build_seconds\": %.3f, \"bytes\": %zu, \"threads\": %d, \"what\": \"%s\"}\n", Now() - started,
           index->Bytes(), data.threads, index->What().c_str());
    fflush(stdout);
    omp_set_num_threads(1);
    Answer(*index, data, cosine ? 1e-7 : 0.0);
    return 0;
}
