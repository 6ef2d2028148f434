// The tests of mpi/: every rank runs all of them, and rank 0 tells.
#include <gtest/gtest.h>
#include <mpi.h>

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  testing::InitGoogleTest(&argc, argv);
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  if (rank != 0) delete listeners.Release(listeners.default_result_printer());
  int const failed = RUN_ALL_TESTS();
  if (failed && rank != 0)
    std::fprintf(stderr, "tests failed at rank %d: run with one rank less to see which\n", rank);
  MPI_Finalize();
  return failed;
}
